// Imports llama.cpp's presets for its router: a section is a model, a key is an argument without dashes.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <map>

#include "cli/import.h"
#include "engine/user_arguments.h"

namespace minerva::cli {
namespace {

using Entry = std::pair<std::string, std::string>;  // key, value
struct Section {
  std::string name;
  std::vector<Entry> entries;
};

// Variables whose arguments have another name.
constexpr std::array<std::pair<std::string_view, std::string_view>, 12> kVariables = {
    {{"LLAMA_ARG_BATCH", "batch-size"},
     {"LLAMA_ARG_UBATCH", "ubatch-size"},
     {"LLAMA_ARG_CHECKPOINT_MIN_SPACING_NT", "checkpoint-min-step"},
     {"LLAMA_ARG_ROPE_SCALING_TYPE", "rope-scaling"},
     {"LLAMA_ARG_N_PARALLEL", "parallel"},
     {"LLAMA_ARG_ENDPOINT_METRICS", "metrics"},
     {"LLAMA_ARG_ENDPOINT_SLOTS", "slots"},
     {"LLAMA_ARG_THINK", "reasoning-format"},
     {"LLAMA_ARG_THINK_BUDGET", "reasoning-budget"},
     {"LLAMA_ARG_THINK_BUDGET_MESSAGE", "reasoning-budget-message"},
     {"LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_K", "cache-type-k-draft"},
     {"LLAMA_ARG_SPEC_DRAFT_CACHE_TYPE_V", "cache-type-v-draft"}}};

std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t\r"), text.size()));
  return text.substr(0, text.find_last_not_of(" \t\r") + 1);
}

bool says_yes(std::string_view value) { return value == "true" || value == "1" || value == "on" || value == "enabled"; }
bool says_no(std::string_view value) {
  return value == "false" || value == "0" || value == "off" || value == "disabled";
}

Result<std::vector<Section>> parse(std::string_view text) {
  std::vector<Section> sections = {{}};  // the first one: lines before all sections
  for (unsigned number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    line = trimmed(line);
    if (line.empty() || line.front() == ';' || line.front() == '#') continue;
    if (line.front() == '[') {
      const std::size_t close = line.find(']');
      const std::string_view rest = close == std::string_view::npos ? "x" : trimmed(line.substr(close + 1));
      if (!rest.empty() && rest.front() != ';' && rest.front() != '#') {
        return fail(ErrorCode::kInvalidArgument, fmt::format("line {}: a section is [NAME] and nothing else", number));
      }
      sections.push_back({std::string(trimmed(line.substr(1, close - 1))), {}});
      continue;
    }
    const std::size_t equals = line.find('=');
    const std::string_view key = trimmed(line.substr(0, equals));
    if (equals == std::string_view::npos || key.empty()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("line {}: neither a section in brackets nor \"key = value\"", number));
    }
    const std::string_view value = line.substr(equals + 1);
    sections.back().entries.emplace_back(key, trimmed(value.substr(0, value.find_first_of(";#"))));
  }
  return sections;
}

// The argument that a key means.
std::string argument_of(const std::string& key) {
  std::string name = key;
  if (const auto* const variable =
          std::find_if(kVariables.begin(), kVariables.end(), [&](const auto& v) { return v.first == key; });
      variable != kVariables.end()) {
    name = variable->second;
  } else if (key.starts_with("LLAMA_ARG_")) {
    name = key.substr(std::string_view("LLAMA_ARG_").size());
    std::transform(name.begin(), name.end(), name.begin(), [](char c) {
      return c == '_' ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    });
  }
  return !ServerArguments::knows("--" + name) && ServerArguments::knows("-" + name) ? "-" + name : "--" + name;
}

// The flag with the opposite meaning; empty if there can be none. A flag that is off without being set has no such
// flag, so a "no" for it needs no argument.
std::string opposite_of(const std::string& flag) {
  if (flag.starts_with("--no-")) return "--" + flag.substr(5);
  return flag.starts_with("--") ? "--no-" + flag.substr(2) : "";
}

void take(ServerArguments& arguments, const std::string& key, const std::string& value) {
  const std::string name = argument_of(key);
  const bool is_flag = check_user_arguments({name}).has_value();
  if (is_flag && says_yes(value)) return arguments.take(name, {});
  if (is_flag && says_no(value)) {
    const std::string opposite = opposite_of(name);
    if (check_user_arguments({opposite})) arguments.take(opposite, {});
    return;
  }
  arguments.take(name, {value});
}

}  // namespace

Result<void> import_llama_ini(std::string_view text, Imported& into) {
  const auto sections = parse(text);
  if (!sections) return fail(sections.error());
  std::vector<Entry> shared;
  for (const Section& section : *sections) {
    if (section.name == "*") shared.insert(shared.end(), section.entries.begin(), section.entries.end());
  }
  for (const Section& section : *sections) {
    if (section.name == "*") continue;
    if (section.name.empty()) {
      for (const auto& [key, value] : section.entries) {
        if (key != "version") into.notes.push_back(fmt::format("Outside of a section: {} = {}", key, value));
      }
      continue;
    }
    ServerArguments arguments;
    bool eager = false;
    std::vector<std::string> notes;
    std::vector<Entry> entries = shared;
    entries.insert(entries.end(), section.entries.begin(), section.entries.end());
    for (const auto& [key, value] : entries) {
      if (key == "version") continue;
      if (key == "load-on-startup") {
        eager = says_yes(value);
      } else if (key == "stop-timeout" || key == "dedup-cache-models") {
        notes.push_back(fmt::format("No counterpart: {} = {}", key, value));
      } else {
        take(arguments, key, value);
      }
    }
    ImportedModel model = arguments.model(into, section.name);
    model.eager = eager;
    model.notes.insert(model.notes.end(), notes.begin(), notes.end());
    into.models.push_back(std::move(model));
  }
  return {};
}

}  // namespace minerva::cli
