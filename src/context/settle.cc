// After each event the core settles: it does whatever follows from the new state, until nothing follows any more. What
// a model does by itself is here (it is inspected, unloaded, replaced, forgotten). What models do because of each other
// is planned by plan() and carried out by moves.cc. Then the requests that wait for hot models are served (slots.cc).
#include <fmt/format.h>

#include <algorithm>

#include "context/impl.h"
#include "context/plan.h"
#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

Error unloaded_while_loading(const ModelId& id) {
  return {ErrorCode::kConflict, fmt::format("{} was unloaded while loading; load it again", in_quotes(id))};
}

}  // namespace

void ContextManager::Impl::settle() {
  expire();
  // Each further round follows an answer to a call that waited, so the loop ends.
  bool again = true;
  while (again) {
    again = false;
    bring_back();
    for (auto it = state_.models.begin(); it != state_.models.end();) {
      const bool forget = advance(it->second);
      if (forget) --state_.removed_models;
      if (forget) note_change(it->second, Residency::kCold);
      it = forget ? state_.models.erase(it) : std::next(it);
    }
    switch_possible_.reset();
    if (!state_.draining) {
      state_.cache.refresh(state_.now);
      again = carry_out(plan(state_));
    }
    for (auto& [id, m] : state_.models) again |= serve(m, /*just_loaded=*/false);
  }
  arm_timer();
}

// ---- time ----

void ContextManager::Impl::expire_waiters() {
  for (const RequestId id : state_.queue.expired(state_.now)) {
    const Waiter waiter = take(id);
    const Model& m = state_.models.at(waiter.model);
    reject_waiter(waiter, refused(m, waited_too_long(waiter, m)));
  }
}

void ContextManager::Impl::expire() {
  expire_waiters();
  for (auto& [id, m] : state_.models) {
    if (m.state() != ModelState::kLoading || state_.now < after(m.started(), state_.options.load_timeout)) continue;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(state_.options.load_timeout).count();
    const Error error{ErrorCode::kEngineTimeout, fmt::format("{} was not ready to serve after {} s; its log says more "
                                                             "(`minerva logs`)",
                                                             in_quotes(id), seconds)};
    if (m.guess) {
      guess_failed(m);
    } else {
      fail_load(m, error, Breaker::Failure::kLoad);
    }
    stop(m, "it did not become ready in time");
  }
  if (state_.denial && state_.now >= state_.denial->until && !planted_bug(PlantedBug::kDeniedForEver)) {
    state_.denial.reset();
    apply_limits();
  }
  if (!state_.draining && !planted_bug(PlantedBug::kTtlIgnored)) expire_idle();
  if (state_.draining && !state_.drain_aborted && state_.now >= state_.drain_deadline) {
    state_.drain_aborted = true;
    for (auto& [id, m] : state_.models) {
      abort_leases(m, {ErrorCode::kDraining, "the server is shutting down", {}, 1});
    }
  }
}

void ContextManager::Impl::note_timer(TimePoint when) {
  if (when == TimePoint::max()) return;
  timer_ = timer_ ? std::min(*timer_, when) : when;
}

void ContextManager::Impl::arm_timer() {
  timer_.reset();
  if (const auto deadline = state_.queue.next_deadline(); deadline && !planted_bug(PlantedBug::kDeadlineNotArmed)) {
    note_timer(*deadline);
  }
  if (switch_possible_) note_timer(*switch_possible_);
  if (state_.denial && state_.now < state_.denial->until) note_timer(state_.denial->until);
  if (state_.draining && !state_.drain_aborted) note_timer(state_.drain_deadline);
  for (const auto& [id, m] : state_.models) {
    if (m.state() == ModelState::kLoading) note_timer(after(m.started(), state_.options.load_timeout));
    if (!state_.draining) note_ttl(m);
  }
}

// ---- what a model does by itself ----

bool ContextManager::Impl::advance(Model& m) {
  // Nothing keeps its engine: the engine loads or has no lease, and was not told to stop.
  const bool free = m.state() == ModelState::kLoading || (m.resident() && m.leases.empty());
  if ((state_.draining || !m.known) && free) {
    stop(m, state_.draining ? "the server is shutting down" : "the model is no longer in the catalog");
  }
  if (const RequestQueue::Lines& lines = state_.queue.lines(m.id); !lines.unloads.empty() || !lines.parks.empty()) {
    if (!lines.unloads.empty()) advance_unload(m);
    if (!state_.queue.lines(m.id).parks.empty()) advance_park(m);
  }
  if (m.run.outdated && (m.state() == ModelState::kLoading || (m.resident() && m.leases.empty()))) {
    const bool was_parked = m.state() == ModelState::kParked || m.state() == ModelState::kParking;
    stop(m, "its file or its settings have changed");
    // The model was wanted in memory before, and still is.
    if (!was_parked && state_.queue.lines(m.id).unloads.empty()) m.eager = state_.queue.next_place();
  }
  if (m.preparing() && !state_.wanted(m)) give_up(m);
  if (m.state() == ModelState::kCold && state_.wanted(m)) start_inspection(m);
  return !m.known && m.state() == ModelState::kCold && state_.queue.lines(m.id).empty();
}

void ContextManager::Impl::advance_unload(Model& m) {
  const std::uint64_t unload_place = state_.queue.lines(m.id).first_unload();
  const RequestQueue::Line& leases = state_.queue.lines(m.id).leases;
  // The requests that came before the unload are served first, as long as they can be served.
  const bool owed = !leases.empty() && leases.begin()->first < unload_place;
  switch (m.state()) {
    case ModelState::kStopping:
      return;
    case ModelState::kHot:
      if (m.leases.empty() && (m.draining || !owed)) stop(m, "unloaded " + asked_by(state_.queue.lines(m.id).unloads));
      return;
    case ModelState::kParking:
    case ModelState::kParked:
    case ModelState::kWaking:
      if (owed) return;
      reject_loads(m, unload_place, unloaded_while_loading(m.id));
      stop(m, "unloaded " + asked_by(state_.queue.lines(m.id).unloads));
      return;
    case ModelState::kCold:
    case ModelState::kInspecting:
    case ModelState::kWaitingForRoom:
    case ModelState::kLoading:
      break;
  }
  if (owed) return;
  let_go(m);
  reject_loads(m, unload_place, unloaded_while_loading(m.id));
  if (m.state() == ModelState::kLoading) {
    stop(m, fmt::format("unloaded {} while loading", asked_by(state_.queue.lines(m.id).unloads)));
  } else {
    finish_unloads(m);
  }
}

void ContextManager::Impl::start_inspection(Model& m) {
  const std::uint64_t ticket = state_.next_ticket++;
  m.phase = phase::Inspecting{ticket};
  m.evicted.clear();
  m.read_ahead = false;
  actions_.emplace_back(Inspect{m.id, ticket});
}

}  // namespace minerva
