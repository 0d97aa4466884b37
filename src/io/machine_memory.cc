#include "io/machine_memory.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <string_view>

#include "io/descriptor.h"

namespace minerva::io {
namespace {

namespace fs = std::filesystem;

// Reads the start of a file of /proc or /sys; the files that are read here are not longer. Nothing if it cannot be
// read.
std::optional<std::string> read_text(const fs::path& path) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::array<char, 16384> buffer;
  const ssize_t count = ::read(*file, buffer.data(), buffer.size());
  return count > 0 ? std::optional(std::string(buffer.data(), static_cast<std::size_t>(count))) : std::nullopt;
}

// The number at the start of `text`; nothing for "max".
std::optional<std::uint64_t> leading_number(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(' '), text.size()));
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  static_cast<void>(end);
  return error == std::errc() ? std::optional(number) : std::nullopt;
}

// The number after `key`. The key is at the beginning of a line.
std::optional<std::uint64_t> number_of(std::string_view text, std::string_view key) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    if (line.starts_with(key)) return leading_number(line.substr(key.size()));
    at = end + 1;
  }
  return std::nullopt;
}

std::optional<std::uint64_t> number_in(const fs::path& file) {
  const auto text = read_text(file);
  return text ? leading_number(*text) : std::nullopt;
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=790274", in microseconds.
// Source: Linux, Documentation/accounting/psi.rst.
std::optional<Duration> stalled_in(const fs::path& file) {
  const auto text = read_text(file);
  constexpr std::string_view kTotal = "total=";
  const std::size_t at = text && text->starts_with("some ") ? text->find(kTotal) : std::string::npos;
  const auto total =
      at == std::string::npos ? std::nullopt : leading_number(std::string_view(*text).substr(at + kTotal.size()));
  return total ? std::optional<Duration>(std::chrono::microseconds(*total)) : std::nullopt;
}

// The names of the same things in the two versions. The numbers of a level include the groups below it.
// Source: Linux, Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
struct CgroupFiles {
  // the lowest one counts: above memory.high the kernel makes a process wait that allocates
  std::array<const char*, 2> limits;
  const char* usage;
  std::array<std::string_view, 3> droppable;  // fields of memory.stat
  std::array<std::string_view, 2> to_write;   // page cache that the kernel cannot drop before it is on disk
};
constexpr CgroupFiles kVersion1 = {{"memory.limit_in_bytes", nullptr},
                                   "memory.usage_in_bytes",
                                   {"total_inactive_file ", "total_active_file ", ""},
                                   {"total_dirty ", "total_writeback "}};
constexpr CgroupFiles kVersion2 = {{"memory.max", "memory.high"},
                                   "memory.current",
                                   {"inactive_file ", "active_file ", "slab_reclaimable "},
                                   {"file_dirty ", "file_writeback "}};

template <std::size_t N>
Bytes sum_of(std::string_view text, const std::array<std::string_view, N>& keys) {
  Bytes sum;
  for (const std::string_view key : keys) {
    if (!key.empty()) sum += Bytes(number_of(text, key).value_or(0));
  }
  return sum;
}

std::optional<Bytes> available_in(const fs::path& folder, const CgroupFiles& files, Bytes limit) {
  const auto usage = number_in(folder / files.usage);
  const auto statistics = read_text(folder / "memory.stat");
  // Without the statistics nobody could tell page cache from what processes hold.
  if (!usage || !statistics) return std::nullopt;
  const Bytes droppable = sum_of(*statistics, files.droppable) - sum_of(*statistics, files.to_write);
  return limit - (Bytes(*usage) - droppable);
}

std::optional<Bytes> unused_in(const fs::path& folder, const CgroupFiles& files, Bytes limit) {
  const auto usage = number_in(folder / files.usage);
  return usage ? std::optional(limit - Bytes(*usage)) : std::nullopt;
}

// Adds the groups that have a limit, from `group` up to the top of the hierarchy.
void add_cgroups(MachineMemory& memory, const fs::path& top, const fs::path& group, const CgroupFiles& files) {
  const auto machine = memory.levels.empty() ? std::nullopt : std::optional(memory.levels.front());
  // The kernel shows a group outside of what this process can see as "/../x".
  fs::path level = top / group.lexically_normal().relative_path();
  if (!level.has_filename()) level = level.parent_path();  // "/" is the top itself
  while (true) {
    std::uint64_t limit = UINT64_MAX;
    for (const char* const file : files.limits) {
      if (file != nullptr) limit = std::min(limit, number_in(level / file).value_or(UINT64_MAX));
    }
    // A limit above the machine's memory is no limit. (In version 1 a large number means "none".)
    if (limit < (machine ? machine->limit.count() : UINT64_MAX)) {
      const fs::path shown = "/" / level.lexically_relative(top).lexically_normal();
      std::optional<Duration> stalled = stalled_in(level / "memory.pressure");
      if (!stalled && machine) stalled = machine->stalled;
      memory.levels.push_back({fmt::format("the cgroup {}", shown == "/." ? "/" : shown.string()), Bytes(limit),
                               available_in(level, files, Bytes(limit)), stalled,
                               unused_in(level, files, Bytes(limit))});
    }
    if (level == top || !level.has_relative_path()) return;
    level = level.parent_path();
  }
}

}  // namespace

Bytes MemoryLevel::to_stay_free(std::optional<Bytes> wanted) const {
  return wanted ? *wanted : std::min(Bytes(limit.count() / 16), Bytes::gib(1));
}

std::optional<Bytes> MachineMemory::available() const {
  std::optional<Bytes> least;
  for (const MemoryLevel& level : levels) {
    if (level.available) least = std::min(least.value_or(*level.available), *level.available);
  }
  return least;
}

Bytes MachineMemory::limit() const {
  if (levels.empty()) return {};
  return std::min_element(levels.begin(), levels.end(), [](const auto& a, const auto& b) { return a.limit < b.limit; })
      ->limit;
}

Bytes MachineMemory::spare(std::optional<Bytes> min_free) const {
  if (levels.empty()) return {};
  Bytes least(UINT64_MAX);
  for (const MemoryLevel& level : levels) {
    least = std::min(least, level.unused.value_or(Bytes()) - level.to_stay_free(min_free));
  }
  return least;
}

Displacement MachineMemory::displacement(Bytes wanted, std::optional<Bytes> min_free) const {
  Displacement most;
  for (const MemoryLevel& level : levels) {
    if (!level.unused || !level.available) continue;
    const Bytes displaced = wanted + level.to_stay_free(min_free) - *level.unused;
    if (displaced > most.displaced) most = {displaced, *level.available - *level.unused};
  }
  return most;
}

MachineMemory read_machine_memory(const std::string& root) {
  MachineMemory memory;
  const std::string text = read_text(root + "/proc/meminfo").value_or("");
  if (const auto total = number_of(text, "MemTotal:")) {
    const auto available = number_of(text, "MemAvailable:");
    const auto unused = number_of(text, "MemFree:");
    memory.levels.push_back(
        {"the machine", Bytes(*total * 1024), available ? std::optional(Bytes(*available * 1024)) : std::nullopt,
         stalled_in(root + "/proc/pressure/memory"), unused ? std::optional(Bytes(*unused * 1024)) : std::nullopt});
  }
  // Lines "ID:CONTROLLERS:PATH"; the line of version 2 is "0::PATH".
  const std::string groups = read_text(root + "/proc/self/cgroup").value_or("");
  for (std::size_t at = 0; at < groups.size();) {
    const std::size_t end = std::min(groups.find('\n', at), groups.size());
    const std::string line = groups.substr(at, end - at);
    at = end + 1;
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = "," + line.substr(first + 1, second - first - 1) + ",";
    const fs::path group = line.substr(second + 1);
    const fs::path mount = root + "/sys/fs/cgroup";
    if (controllers == ",,") {
      add_cgroups(memory, mount, group, kVersion2);
    } else if (controllers.find(",memory,") != std::string::npos) {
      add_cgroups(memory, mount / "memory", group, kVersion1);
    }
  }
  return memory;
}

}  // namespace minerva::io
