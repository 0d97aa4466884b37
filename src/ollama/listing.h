// /api/tags, /api/ps, /api/show and /api/version: what Ollama's clients ask about models.
//
// Pure functions over plain values; any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/ids.h"

namespace minerva::ollama {

// The version of Ollama's API that this server speaks. Clients check it before they use newer parts of the API.
inline constexpr std::string_view kApiVersion = "0.12.6";
std::string version_json();

// A member that is not known yet is empty or 0.
struct ModelDetails {
  std::string architecture;
  std::uint64_t parameters = 0;
  std::string quantization;
};

struct TagAnswer {
  ModelId id;
  std::string identity;  // of its files: differs when they are replaced
  std::chrono::system_clock::time_point modified;
  Bytes size;
  ModelDetails details;
};
std::string tags_json(const std::vector<TagAnswer>& models);

struct RunningAnswer {
  TagAnswer model;
  Bytes memory;      // what the model holds now
  Bytes gpu_memory;  // the part of `memory` on a GPU
  std::chrono::system_clock::time_point expires;
  unsigned context = 0;
};
std::string ps_json(const std::vector<RunningAnswer>& models);

using Value = std::variant<bool, std::int64_t, double, std::string>;

struct ShowAnswer {
  TagAnswer model;
  unsigned trained_context = 0;
  unsigned context = 0;
  std::string chat_template;
  bool can_generate = false;
  bool can_embed = false;
  bool can_infill = false;
  bool has_chat_template = false;
  bool supports_tools = false;
  bool supports_thinking = false;
  bool sees = false;                    // takes images
  std::map<std::string, Value> values;  // from the model's file
};
std::string show_json(const ShowAnswer& model);

// One line of POST /api/pull while a file is fetched. `version`: the commit of `file`.
std::string pull_json(std::string_view file, std::string_view version, Bytes size, Bytes done);

// The model's name for clients that expect a tag: an id without a tag gets ":latest".
std::string tagged_name(const ModelId& id);
// The id that such a name means; nothing if the name does not end in ":latest".
std::optional<std::string> untagged_name(std::string_view name);

// "7.6B", "596.05M": in the form that Ollama uses; empty for 0.
std::string parameter_size(std::uint64_t count);

// 64 hex digits, which stay the same as long as the files do.
std::string digest(const ModelId& id, std::string_view identity);

}  // namespace minerva::ollama
