#include "config/toml_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <vector>

namespace minerva {
namespace {

std::string toml_key(const std::string& name) {
  const bool is_bare = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-';
  });
  return is_bare ? name : toml_string(name);
}

}  // namespace

std::string toml_string(std::string_view text) {
  std::string result = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      result += '\\';
      result += c;
    } else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      result += fmt::format("\\u{:04X}", static_cast<unsigned>(c));
    } else {
      result += c;
    }
  }
  return result + '"';
}

std::string toml_value(const api::Json& json) {
  if (json.is_string()) return toml_string(json.get<std::string>());
  if (!json.is_structured()) return api::dump(json);
  std::vector<std::string> parts;
  for (const auto& [name, value] : json.items()) {
    parts.push_back(json.is_object() ? fmt::format("{} = {}", toml_key(name), toml_value(value)) : toml_value(value));
  }
  if (json.is_array()) return fmt::format("[{}]", fmt::join(parts, ", "));
  return parts.empty() ? "{}" : fmt::format("{{ {} }}", fmt::join(parts, ", "));
}

}  // namespace minerva
