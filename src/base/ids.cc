#include "minerva/base/ids.h"

#include <algorithm>
#include <array>

namespace minerva {

bool is_reserved_id(std::string_view text) {
  constexpr std::array<std::string_view, 4> kReserved = {"load", "sse", "stats", "unload"};
  return std::find(kReserved.begin(), kReserved.end(), text) != kReserved.end();
}

bool is_model_id(std::string_view text) {
  constexpr std::size_t kMaxLength = 200;
  const auto alphanumeric = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
  };
  const auto allowed = [&](char c) {
    return alphanumeric(c) || std::string_view("._:@/-").find(c) != std::string_view::npos;
  };
  if (text.empty() || text.size() > kMaxLength || !alphanumeric(text.front())) return false;
  if (!std::all_of(text.begin(), text.end(), allowed)) return false;
  // No ".." segment: an id may become part of a path.
  while (!text.empty()) {
    const std::size_t slash = std::min(text.find('/'), text.size());
    if (text.substr(0, slash) == "..") return false;
    text.remove_prefix(std::min(slash + 1, text.size()));
  }
  return true;
}

}  // namespace minerva
