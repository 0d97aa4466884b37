#include <algorithm>
#include <fstream>
#include <optional>
#include <sstream>
#include <string>

#include "config/config.h"

namespace minerva {
namespace {

// The first number in a file; nothing if there is none ("max").
std::optional<std::uint64_t> read_number(const std::string& path) {
  std::ifstream file(path);
  std::uint64_t value = 0;
  if (file >> value) return value;
  return std::nullopt;
}

Bytes total_memory() {
  std::ifstream file("/proc/meminfo");
  std::string line;
  while (std::getline(file, line)) {
    if (!line.starts_with("MemTotal:")) continue;
    std::istringstream words(line.substr(9));
    std::uint64_t kib = 0;
    words >> kib;
    return Bytes(kib * 1024);
  }
  return Bytes();
}

// The lowest limit on the way from this process's cgroup to the root; containers see theirs as the root.
Bytes lowest_limit(const std::string& root, std::string group, const std::string& file, Bytes limit) {
  while (true) {
    if (const auto value = read_number(root + group + "/" + file)) limit = std::min(limit, Bytes(*value));
    if (group.empty() || group == "/") return limit;
    group.resize(group.rfind('/'));
  }
}

}  // namespace

Bytes resolve_budget(const BudgetSetting& setting) {
  if (setting.bytes.count() > 0) return setting.bytes;
  Bytes available = total_memory();
  std::ifstream groups("/proc/self/cgroup");
  std::string line;
  while (std::getline(groups, line)) {  // "0::/path" (v2) or "9:memory:/path" (v1)
    const std::size_t second = line.rfind(':');
    if (second == std::string::npos) continue;
    const std::string group = line.substr(second + 1);
    if (line.starts_with("0::")) available = lowest_limit("/sys/fs/cgroup", group, "memory.max", available);
    if (line.find(":memory:") != std::string::npos) {
      available = lowest_limit("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes", available);
    }
  }
  return Bytes(static_cast<std::uint64_t>(static_cast<double>(available.count()) * setting.percent / 100));
}

}  // namespace minerva
