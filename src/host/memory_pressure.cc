#include "host/memory_pressure.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace minerva {
namespace {

using std::chrono::milliseconds;
using Seconds = std::chrono::duration<double>;

// A process that fills memory takes a gigabyte a second or more. A sample costs a few hundred microseconds.
constexpr Duration kSoonest = milliseconds(20);
constexpr Duration kLatest = milliseconds(100);
// after which the core is told again; it subtracts the memory that engines are already giving back
constexpr Duration kAgain = milliseconds(100);
constexpr Duration kCalm = std::chrono::seconds(3);

// The pace is measured over kPaceOf. kUntilFree is how long it takes until memory that was asked back is free, since an
// engine has to end. At most a quarter of the level is asked back ahead of need: a process that takes much at once does
// not go on like that.
constexpr Duration kPaceOf = milliseconds(200);
constexpr Seconds kUntilFree = milliseconds(500);
// The least amount that is asked back. It is not worth parking a model for less, and a stall says that memory is short
// but not by how much.
constexpr Bytes kLeast = Bytes::mib(16);

// A process that reads a file three times as large as its cgroup, again and again, stalls for 10 to 20 % of the time
// (measured). A machine that has enough memory never does.
constexpr Duration kStallsOf = std::chrono::seconds(1);
constexpr double kStalledShare = 0.1;

constexpr Bytes times(Bytes bytes, std::uint64_t numerator, std::uint64_t denominator) {
  return Bytes(bytes.count() / denominator * numerator);
}

// How many bytes a second were taken lately.
double pace_of(const std::deque<std::pair<TimePoint, Bytes>>& available) {
  const auto& [since, before] = available.front();
  const auto& [now, left] = available.back();
  if (now <= since) return 0;
  return static_cast<double>((before - left).count()) / Seconds(now - since).count();
}

}  // namespace

std::optional<MemoryPressure::News> MemoryPressure::sample(const io::MachineMemory& memory, TimePoint now) {
  next_in_ = kLatest;
  short_by_ = {};
  bool begins = false;
  std::string why;
  for (const io::MemoryLevel& level : memory.levels) {
    if (!level.available) continue;
    const Judgement judgement = judge(level, seen_[level.name], now);
    short_by_ = std::max(short_by_, judgement.short_by);
    if (judgement.begins && !begins) why = judgement.why;
    begins = begins || judgement.begins;
  }
  // Forgets levels that are no longer sampled: a process may be moved from one cgroup to another any number of times.
  std::erase_if(seen_, [&](const auto& seen) {
    return seen.second.available.empty() || seen.second.available.back().first != now;
  });

  if (!under_ && !begins) {
    // no level is below its mark; `short_by_` was measured against the higher mark, which counts only in a shortage
    short_by_ = {};
    return std::nullopt;
  }
  if (short_by_ > Bytes()) short_last_ = now;
  if (!under_) {
    under_ = true;
    ++shortages_;
    told_ = now;
    return News{{true, short_by_}, std::move(why)};
  }
  if (min_free_ == Bytes() || now - short_last_ >= kCalm) {
    under_ = false;
    return News{{false, Bytes()}, ""};
  }
  if (short_by_ == Bytes() || now - told_ < kAgain) return std::nullopt;
  told_ = now;
  return News{{true, short_by_}, ""};
}

MemoryPressure::Judgement MemoryPressure::judge(const io::MemoryLevel& level, Seen& seen, TimePoint now) {
  const Bytes available = *level.available;
  const Bytes low = level.to_stay_free(min_free_);
  const Bytes high = times(low, 3, 2);

  seen.available.emplace_back(now, available);
  while (seen.available.size() > 2 && now - seen.available.front().first > kPaceOf) seen.available.pop_front();
  const double pace = pace_of(seen.available);
  if (pace > 0) {
    const Seconds left = Seconds(static_cast<double>((available - low).count()) / pace);
    next_in_ = std::min(
        next_in_, left < Seconds(kLatest) ? std::max(kSoonest, std::chrono::duration_cast<Duration>(left)) : kLatest);
  }

  if (!level.stalled || !seen.stalled_before) {
    seen.stalled_before = level.stalled;
    seen.stall_since = now;
    seen.stalled_share = 0;
  } else if (const Duration passed = now - seen.stall_since; passed >= kStallsOf) {
    seen.stalled_share = Seconds(*level.stalled - *seen.stalled_before) / Seconds(passed);
    seen.stalled_before = level.stalled;
    seen.stall_since = now;
  }

  const bool stalls = seen.stalled_share >= kStalledShare && available < times(low, 2, 1);
  Judgement judgement;
  judgement.begins = available < low || stalls;
  if (available >= high && !stalls) return judgement;
  const Bytes soon =
      std::min(Bytes(static_cast<std::uint64_t>(std::llround(pace * kUntilFree.count()))), times(level.limit, 1, 4));
  judgement.short_by = std::max(high - available + soon, kLeast);
  judgement.why = fmt::format("{} of {}'s {} are left, and {} are to stay free", format_bytes(available), level.name,
                              format_bytes(level.limit), format_bytes(low));
  if (available >= low) {
    judgement.why += fmt::format("; processes stood still for want of memory for {:.0f} % of the last second",
                                 100 * seen.stalled_share);
  }
  return judgement;
}

}  // namespace minerva
