#include "context/breaker.h"

#include <algorithm>

#include "context/impl.h"
#include "context/planted_bug.h"

namespace minerva {
namespace {

// A well mixed number in [0, 1). Source: S. Vigna, splitmix64.
double unit_noise(std::uint64_t seed) {
  seed += 0x9e3779b97f4a7c15;
  seed = (seed ^ (seed >> 30)) * 0xbf58476d1ce4e5b9;
  seed = (seed ^ (seed >> 27)) * 0x94d049bb133111eb;
  return static_cast<double>((seed ^ (seed >> 31)) >> 11) * 0x1.0p-53;
}

}  // namespace

BreakerState Breaker::state(TimePoint now) const {
  if (!tripped_) return BreakerState::kClosed;
  return now < open_until_ ? BreakerState::kOpen : BreakerState::kHalfOpen;
}

void Breaker::failed(Failure failure, TimePoint now, const Backoff& backoff) {
  ++failures_;
  request_has_to_prove_ |= failure == Failure::kRequest;
  if (planted_bug(PlantedBug::kBreakerNeverOpens)) return;
  if (failures_ == 1 && failure != Failure::kLoad) return;
  tripped_ = true;
  Duration span = backoff.first;
  for (int i = 1; i < failures_ && span < backoff.most; ++i) span *= 2;
  span = std::min(span, backoff.most);
  constexpr double kJitter = 0.25;
  const double share = kJitter * unit_noise(backoff.jitter_seed + static_cast<std::uint64_t>(failures_));
  span -= std::chrono::duration_cast<Duration>(std::chrono::duration<double>(span) * share);
  open_until_ = after(now, span);
}

void Breaker::loaded() {
  if (!request_has_to_prove_) tripped_ = false;
}

}  // namespace minerva
