// /api/tags, /api/ps, /api/show and /api/version: what Ollama's clients want to know of the models.
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

// The version of Ollama's API that is spoken here: clients look at it before they use newer parts.
inline constexpr std::string_view kApiVersion = "0.12.6";
std::string version_json();

// One that is not known yet is empty or 0.
struct ModelDetails {
  std::string architecture;
  std::uint64_t parameters = 0;
  std::string quantization;
};

struct TagAnswer {
  ModelId id;
  std::string identity;  // of its files: another one when they are replaced
  std::chrono::system_clock::time_point modified;
  Bytes size;
  ModelDetails details;
};
std::string tags_json(const std::vector<TagAnswer>& models);

struct RunningAnswer {
  TagAnswer model;
  Bytes memory;      // that it holds now
  Bytes gpu_memory;  // of that, on a GPU
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
  std::map<std::string, Value> values;  // the file's own
};
std::string show_json(const ShowAnswer& model);

// A line of POST /api/pull while a file comes. `file`, `version`: which that is.
std::string pull_json(std::string_view file, std::string_view version, Bytes size, Bytes done);

// How a model is called by who expects a tag: an id that has none gets ":latest".
std::string tagged_name(const ModelId& id);
// The id that such a name stands for; nothing if it has no such tag.
std::optional<std::string> untagged_name(std::string_view name);

// "7.6B", "596.05M": as Ollama writes it; empty for 0.
std::string parameter_size(std::uint64_t count);

// 64 hex digits, the same as long as the files are.
std::string digest(const ModelId& id, std::string_view identity);

}  // namespace minerva::ollama
