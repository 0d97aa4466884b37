// Which of a hot model's waiting requests its engine gets, and when.
//
// An engine answers as many requests at once as it has slots, and it gets no more than that. The others wait here,
// where their deadlines, their callers' turns and other models count. A request that takes several slots gets them at
// once, so slots that become free are kept for it. A visit takes no slot and does not wait for one.
#include <fmt/format.h>

#include <utility>

#include "context/impl.h"
#include "context/planted_bug.h"

namespace minerva {
namespace {

// If requests take less than this, the engine gets twice as many, so that no slot is empty until the next request
// comes.
// Measured with two slots: 70 completions of one token a second with two requests at once, 77 with four.
constexpr Duration kQuick = std::chrono::milliseconds(300);
constexpr Duration kUsualService = std::chrono::seconds(1);  // if nothing was measured

}  // namespace

bool State::is_being_tried(const Model& m) const { return m.breaker.half_open(now) && !m.leases.empty(); }

bool State::takes(const Model& m, unsigned slots) {
  if (m.slots == 0 || slots == 0 || planted_bug(PlantedBug::kSlotsUnbounded)) return true;
  if (slots > 1 && !planted_bug(PlantedBug::kWideInParts)) return m.slots_taken + slots <= m.slots;
  const bool quick = m.service_time && *m.service_time < kQuick;
  return m.slots_taken < m.slots * (quick ? 2 : 1);
}

bool State::is_too_wide(const Model& m, unsigned slots) {
  return m.slots > 0 && slots > m.slots && !planted_bug(PlantedBug::kTooWideWaits);
}

const Waiter* State::next_in_line(const Model& m, std::uint64_t end) const {
  if (m.collects) {
    const Waiter* const collector = queue.find(*m.collects);
    if (collector != nullptr && collector->place < end) return collector;
  }
  const auto used_by = [&](UserId caller) {
    return planted_bug(PlantedBug::kTurnsIgnored) ? Duration() : m.caller_turns.used(caller);
  };
  // Among callers who have used equally much, the one with the oldest request.
  std::pair<Duration, std::uint64_t> least = {Duration::max(), end};
  const Waiter* next = nullptr;
  for (const auto& [caller, line] : queue.lines(m.id).by_caller) {
    const auto& [place, id] = *line.begin();
    const std::pair its_turn(used_by(caller), place);
    if (place >= end || its_turn >= least) continue;
    least = its_turn;
    next = queue.find(id);
  }
  return next;
}

bool State::must_wait(const Model& m, unsigned slots) const {
  if (m.state() != ModelState::kHot || m.draining || m.run.stalled || m.run.outdated || is_being_tried(m)) return true;
  if (queue.lines(m.id).first_leave() != UINT64_MAX) return true;
  return slots > 0 && (!takes(m, slots) || !queue.lines(m.id).by_caller.empty());
}

bool State::can_grant(const Model& m) const {
  if (is_being_tried(m)) return false;
  const RequestQueue::Lines& lines = queue.lines(m.id);
  const std::uint64_t end = lines.first_leave();
  if (!lines.visits.empty() && lines.visits.begin()->first < end) return true;
  const Waiter* const next = next_in_line(m, end);
  return next != nullptr && takes(m, next->slots);
}

void ContextManager::Impl::grant(Model& m, RequestId id) {
  const Waiter waiter = take(id);
  const Duration estimate = m.service_time.value_or(kUsualService);
  m.leases.emplace(id, false);
  m.slots_taken += waiter.slots;
  if (waiter.slots > 0) m.caller_turns.begin(waiter.caller, estimate, waiter.slots);
  if (m.collects == id) m.collects.reset();
  state_.leases.emplace(id, GrantedLease{m.id, *m.engine, state_.now, waiter.outcome, waiter.retried, /*looking=*/false,
                                         waiter.caller, waiter.slots, estimate});
  state_.cache.use(m.id, state_.now);
  refresh_evictable(m);
  actions_.emplace_back(Grant{id, m.id, *m.engine, waiter.outcome, state_.now - waiter.arrived});
}

void ContextManager::Impl::give_back_slots(Model& m, const GrantedLease& lease) {
  if (lease.slots == 0 || planted_bug(PlantedBug::kSlotsKept)) return;
  m.slots_taken -= lease.slots;
  const std::size_t waiting = state_.queue.lines(m.id).by_caller.size();
  m.caller_turns.end(lease.caller, lease.estimate, state_.now - lease.granted, lease.slots, waiting);
  if (m.slots_taken == 0 && waiting == 0) m.caller_turns.clear();
}

Error ContextManager::Impl::too_many_slots(const Model& m, unsigned slots) const {
  return {ErrorCode::kInvalidArgument,
          fmt::format("the request wants {} answers at once, and {} gives {} (parallel); ask for fewer, or for each by "
                      "itself",
                      slots, in_quotes(m.id), m.slots),
          "n"};
}

bool ContextManager::Impl::serve(Model& m, bool just_loaded) {
  const bool stalled = m.run.stalled && !planted_bug(PlantedBug::kStalledIsGranted);
  const bool outdated = m.run.outdated && !planted_bug(PlantedBug::kOutdatedIsGranted);
  const bool can_serve =
      m.state() == ModelState::kHot || (m.state() == ModelState::kParked && planted_bug(PlantedBug::kParkedIsGranted));
  if (!can_serve || m.draining || outdated || stalled) return false;
  bool served = false;
  // Requests that came after an unload or a park wait for the next load or wake.
  const std::uint64_t end = state_.queue.lines(m.id).first_leave();
  while (!state_.queue.lines(m.id).loads.empty() && state_.queue.lines(m.id).loads.begin()->first < end) {
    answer_load(m, state_.queue.lines(m.id).loads.begin()->second, just_loaded);
    served = true;
  }
  const auto may_grant = [&] { return !state_.is_being_tried(m) || planted_bug(PlantedBug::kProbeLetsAllIn); };
  while (may_grant()) {
    const RequestQueue::Line& visits = state_.queue.lines(m.id).visits;
    if (visits.empty() || visits.begin()->first >= end) break;
    grant(m, visits.begin()->second);
    served = true;
  }
  while (may_grant()) {
    const Waiter* const next = state_.next_in_line(m, end);
    if (next == nullptr) break;
    // The engine had more slots when the request came.
    if (state_.is_too_wide(m, next->slots)) {
      const Error error = too_many_slots(m, next->slots);
      reject_waiter(take(next->id), error);
    } else if (state_.takes(m, next->slots)) {
      grant(m, next->id);
    } else {
      if (next->slots > 1) m.collects = next->id;
      break;
    }
    served = true;
  }
  return served;
}

}  // namespace minerva
