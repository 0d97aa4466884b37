// How long things will take, judged by how long they took before. Callers are told the estimates, and policies use them
// to weigh what it costs to have a model back.
#include <algorithm>

#include "context/impl.h"

namespace minerva {
namespace {

constexpr Duration kNothingKnown = std::chrono::seconds(1);
constexpr Duration kUsualWake = std::chrono::milliseconds(100);

// The average of the last few loads, in which the newest counts most.
void average_in(std::optional<Duration>& average, Duration latest) {
  constexpr int kWeight = 3;
  average = average ? *average + (latest - *average) / kWeight : latest;
}

}  // namespace

void ContextManager::Impl::learn_load_time(Model& m) {
  average_in(m.expected_load_time, state_.now - m.started());
  average_in(state_.load_time_of_any, state_.now - m.started());
}

void ContextManager::Impl::learn_wake_time(Model& m) { average_in(m.expected_wake_time, state_.now - m.started()); }

void ContextManager::Impl::learn_service_time(Model& m, Duration took) { average_in(m.service_time, took); }

Duration State::usual_load_time(const Model& m) const {
  return m.expected_load_time.value_or(load_time_of_any.value_or(kNothingKnown));
}

Duration State::usual_wake_time(const Model& m) { return m.expected_wake_time.value_or(kUsualWake); }

Duration State::reload_cost(const Model& m) const {
  const bool would_park = m.state() != ModelState::kParked && m.run.can_park && options.parking.enabled;
  return would_park ? usual_wake_time(m) : usual_load_time(m);
}

Duration State::guess_load_time(const Model& m) const {
  const bool will_wake = m.resident() && (m.state() != ModelState::kHot || (m.run.can_park && options.parking.enabled));
  return will_wake ? usual_wake_time(m) : usual_load_time(m);
}

std::optional<Duration> State::expected_time(const Model& m) const {
  const auto left = [&](std::optional<Duration> whole) {
    return whole ? std::optional(std::max(*whole - (now - m.started()), Duration::zero())) : std::nullopt;
  };
  switch (m.state()) {
    case ModelState::kHot:
      return Duration::zero();
    case ModelState::kLoading:
      return left(m.expected_load_time);
    case ModelState::kWaking:
      return left(m.expected_wake_time);
    case ModelState::kParking:
    case ModelState::kParked:
      return m.expected_wake_time;
    case ModelState::kCold:
    case ModelState::kInspecting:
    case ModelState::kWaitingForRoom:
    case ModelState::kStopping:
      break;
  }
  return m.expected_load_time;
}

Duration State::expected_wait(const Model& m) const {
  const Duration load = guess_load_time(m);
  switch (m.state()) {
    case ModelState::kLoading:
    case ModelState::kWaking:
      return std::max(load - (now - m.started()), Duration::zero());
    case ModelState::kHot:
      if (!m.draining && !leaving_anyway(m)) {
        // Each lease that ends lets the next request in, and as many end at a time as there are leases.
        const std::size_t running = std::max<std::size_t>(m.leases.size(), 1);
        const std::size_t rounds = queue.lines(m.id).leases.size() / running + 1;
        return m.service_time.value_or(Duration::zero()) * static_cast<std::int64_t>(rounds);
      }
      break;
    case ModelState::kCold:
    case ModelState::kInspecting:
    case ModelState::kWaitingForRoom:
    case ModelState::kParking:
    case ModelState::kParked:
    case ModelState::kStopping:
      break;
  }
  if (m.state() != ModelState::kHot && ledger.after_exits().fits(lacking(m))) return load;
  // The models before it in line have their turns first.
  Duration wait = load;
  const RequestQueue::Turn own = turn(m);
  for (const auto& [id, other] : models) {
    if (other.state() == ModelState::kHot || &other == &m || turn(other) >= own) continue;
    wait += guess_load_time(other) + options.min_residency;
  }
  return wait;
}

}  // namespace minerva
