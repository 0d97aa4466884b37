// Names: what a model is called, by its file's name.
//
// Plain functions over text; any thread. They look at no file, and know nothing of what an earlier scan called it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/model_spec.h"
#include "minerva/base/ids.h"

namespace minerva {

// Whether a model may be called so.
bool is_usable_id(std::string_view id);

// The stem if it may be an id, else the stem with each run of other characters as one "-". Where nothing is left of it:
// "model-" and 8 hex digits of `place`.
ModelId id_of_stem(std::string_view stem, std::string_view place);
// 8 hex digits, the same for the same text on every machine.
std::string short_hash(std::string_view text);

// The names of a repository's models, in the order of `stems`: "org/repo:Q4_K_M" with llama.cpp's tag where one model
// only has it, else with the shortest end that one only has, else "org/repo/stem".
std::vector<ModelId> hub_ids(std::string_view repo, const std::vector<std::string>& stems);

// What a file's name says of it, until somebody has looked into the file.
FileKind kind_by_name(std::string_view stem);
// Whether a draft, by its name, is the model's own head for several tokens at once; the others are models by
// themselves.
bool is_mtp_name(std::string_view stem);
// Which of the models beside it a projector, a draft or an adapter belongs to: the one that is there, in one or several
// quantizations, else those whose name it shares. Indices of `models`; none where that is not told.
std::vector<std::size_t> owners_of(std::string_view companion_stem, const std::vector<std::string>& model_stems);

// What else a client may mean by `name`, the first one first: without ":latest", without "hf.co/" and ".gguf".
std::vector<std::string> other_readings(std::string_view name);
// ASCII letters small.
std::string lower_case(std::string_view text);

}  // namespace minerva
