#include "host/device_limits.h"

#include <algorithm>
#include <vector>

namespace minerva {
namespace {

// As long as for the machine's memory (memory_pressure.cc).
constexpr Duration kReturnedFor = std::chrono::seconds(3);
constexpr Duration kRecent = std::chrono::seconds(2);
// Drivers take and return a little all the time, and each step moves models.
constexpr std::uint64_t kStep = std::uint64_t{16} << 20;
// What an engine takes outside of its account while it computes, and what the desktop takes with a new window, must
// find room: a 32nd of the device, at most 512 MiB.
constexpr std::uint64_t kMarginShare = 32;
constexpr Bytes kMostMargin = Bytes::mib(512);
// More is no driver's: another program has taken memory during the load.
constexpr Bytes kMostShare = Bytes::gib(1);
constexpr std::size_t kSharesKept = 5;

bool says_nothing(const DeviceMemory& memory) { return memory.free >= memory.total; }

}  // namespace

void DeviceLimits::sample(const std::string& device, const DeviceMemory& memory, Bytes held, std::uint64_t moves,
                          TimePoint now) {
  Seen& seen = devices_[device];
  seen.memory = memory;
  seen.moves = moves;
  const Bytes margin = std::min(Bytes(memory.total.count() / kMarginShare), kMostMargin);
  const Bytes most = says_nothing(memory) ? Bytes(UINT64_MAX) : (held + memory.free) - margin;
  seen.available.emplace_back(now, Bytes(most.count() / kStep * kStep));
  while (now - seen.available.front().first > kReturnedFor) seen.available.pop_front();
}

std::optional<Bytes> DeviceLimits::available(const std::string& device) const {
  const auto found = devices_.find(device);
  if (found == devices_.end() || says_nothing(found->second.memory)) return std::nullopt;
  return std::ranges::min_element(found->second.available, {}, [](const auto& sample) { return sample.second; })
      ->second;
}

std::optional<Bytes> DeviceLimits::free(const std::string& device) const {
  const auto found = devices_.find(device);
  if (found == devices_.end() || says_nothing(found->second.memory)) return std::nullopt;
  return found->second.memory.free;
}

std::optional<Bytes> DeviceLimits::free_now(const std::string& device, std::uint64_t moves, TimePoint now) const {
  const auto found = devices_.find(device);
  const bool counts = found != devices_.end() && found->second.moves == moves && is_recent(device, now);
  return counts ? free(device) : std::nullopt;
}

bool DeviceLimits::is_recent(const std::string& device, TimePoint now) const {
  const auto found = devices_.find(device);
  return found != devices_.end() && now - found->second.available.back().first <= kRecent;
}

void DeviceLimits::learn_share(const std::string& device, Bytes before, Bytes after, Bytes own) {
  const Bytes share = (before - after) - own;
  if (share > kMostShare) return;
  std::deque<Bytes>& latest = shares_[device];
  latest.push_back(share);
  if (latest.size() > kSharesKept) latest.pop_front();
}

Bytes DeviceLimits::share(const std::string& device) const {
  const auto found = shares_.find(device);
  if (found == shares_.end()) return {};
  // The median: another program may have taken memory, or returned some, during one of the loads.
  std::vector<Bytes> sorted(found->second.begin(), found->second.end());
  std::ranges::sort(sorted);
  return sorted[sorted.size() / 2];
}

}  // namespace minerva
