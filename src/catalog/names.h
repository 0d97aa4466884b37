// Names: the id of a model, by the name of its file.
//
// Plain functions over text; any thread. They look at no file, and do not know the names of an earlier scan.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/model_spec.h"
#include "minerva/base/ids.h"

namespace minerva {

// Whether a model may have this id.
bool is_usable_id(std::string_view id);

// The stem, if it may be an id; else the stem with each run of other characters as one "-". If nothing is left of it:
// "model-" and 8 hex digits of `place`.
ModelId id_of_stem(std::string_view stem, std::string_view place);
// 8 hex digits, the same for the same text on every machine.
std::string short_hash(std::string_view text);

// The names of a repository's models, in the order of `stems`: "org/repo:Q4_K_M" with llama.cpp's tag if only one model
// has that tag, else with the shortest end that only one model has, else "org/repo/stem".
std::vector<ModelId> hub_ids(std::string_view repo, const std::vector<std::string>& stems);

// The kind that a file's name suggests, until the file was inspected.
FileKind kind_by_name(std::string_view stem);
// Whether a draft with this name is the model's own head for several tokens at once. Other drafts are models by
// themselves.
bool is_mtp_name(std::string_view stem);
// The models beside a projector, a draft or an adapter to which it belongs: the only model there, in one or several
// quantizations, else those whose name it shares. Returns indices of `models`; none if the names do not show it.
std::vector<std::size_t> owners_of(std::string_view companion_stem, const std::vector<std::string>& model_stems);

// Other names that a client may mean by `name`, the most likely first: without ":latest", without "hf.co/" and ".gguf".
std::vector<std::string> other_readings(std::string_view name);
// The text with ASCII letters in lower case.
std::string lower_case(std::string_view text);

}  // namespace minerva
