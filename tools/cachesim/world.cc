#include "cachesim/world.h"

#include <algorithm>
#include <cmath>

#include "cachesim/random.h"

namespace minerva::cachesim {
namespace {

constexpr double kSmallest = 0.5e9;
constexpr double kLargest = 50e9;
constexpr double kStartS = 0.8;
constexpr double kBytesPerSecond = 2e9;

Duration reload_of(Bytes size) {
  constexpr double kNanosecondsInSecond = 1e9;
  const double seconds = kStartS + static_cast<double>(size.count()) / kBytesPerSecond;
  return std::chrono::nanoseconds(std::llround(seconds * kNanosecondsInSecond));
}

}  // namespace

Bytes World::capacity(double percent) const {
  constexpr double kPercent = 100;
  const double share = percent / kPercent * static_cast<double>(all.count());
  return std::max(largest, Bytes(static_cast<std::uint64_t>(share)));
}

World make_world(const Trace& trace, std::uint64_t seed) {
  Random random(seed);
  World world;
  for (const TraceModel& model : trace.models) {
    // A size is drawn for each model, so that a known size does not change those of other models.
    const Bytes drawn(static_cast<std::uint64_t>(random.log_uniform(kSmallest, kLargest)));
    const Bytes size = model.size.value_or(drawn);
    world.models.push_back({size, model.reload.value_or(reload_of(size))});
    world.all += size;
    world.largest = std::max(world.largest, size);
  }
  return world;
}

bool is_drawn(const Trace& trace) {
  return std::any_of(trace.models.begin(), trace.models.end(), [](const TraceModel& m) { return !m.size; });
}

}  // namespace minerva::cachesim
