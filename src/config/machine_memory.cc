#include "config/machine_memory.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>

namespace minerva {
namespace {

namespace fs = std::filesystem;

// The number at the start of `text`; nothing for "max".
std::optional<std::uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  static_cast<void>(end);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

std::uint64_t total_memory(const std::string& root) {
  std::ifstream in(root + "/proc/meminfo");
  constexpr std::string_view kTotal = "MemTotal:";
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(kTotal))
      return leading_number(std::string_view(line).substr(kTotal.size())).value_or(0) * 1024;
  }
  return 0;
}

// The lowest limit from the group up to the top: each level bounds those below it.
std::uint64_t lowest_limit(const fs::path& top, const fs::path& group, const char* file) {
  std::uint64_t lowest = UINT64_MAX;
  fs::path level = top / group.relative_path();
  while (true) {
    std::ifstream in(level / file);
    std::string line;
    if (std::getline(in, line)) lowest = std::min(lowest, leading_number(line).value_or(UINT64_MAX));
    if (level == top || !level.has_relative_path()) return lowest;
    level = level.parent_path();
  }
}

}  // namespace

Bytes available_memory(const std::string& root) {
  std::uint64_t available = total_memory(root);
  // "ID:CONTROLLERS:PATH"; version 2 is the line "0::PATH".
  std::ifstream in(root + "/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const fs::path group = line.substr(second + 1);
    const fs::path mount = root + "/sys/fs/cgroup";
    if (controllers == ",,") {
      available = std::min(available, lowest_limit(mount, group, "memory.max"));
    } else if (controllers.find(",memory,") != std::string::npos) {
      available = std::min(available, lowest_limit(mount / "memory", group, "memory.limit_in_bytes"));
    }
  }
  return Bytes(available);
}

}  // namespace minerva
