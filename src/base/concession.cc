#include "base/concession.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace minerva {
namespace {

std::string text_of(const Concession::Value& value) {
  return std::visit([](const auto& v) { return fmt::format("{}", v); }, value);
}

}  // namespace

std::string concessions_text(const std::vector<Concession>& list) {
  std::vector<std::string> parts;
  parts.reserve(list.size());
  for (const Concession& c : list) {
    parts.push_back(fmt::format("{} {} instead of {}", c.setting, text_of(c.to), text_of(c.from)));
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

}  // namespace minerva
