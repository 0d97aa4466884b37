// After each event: who is inspected, who loads, who leaves, who is granted.
//
// A planning pass is a function of the state. It walks the models that wait for room in the order of their oldest
// waiter and claims room for each, so that nobody is overtaken by one who would take something from him:
//   - what fits now and beside all earlier claims is spawned, or woken if it is parked;
//   - what fits once the engines on their way out are gone waits for them;
//   - otherwise idle models are evicted, if that is enough: parked if that frees what is needed, stopped otherwise;
//   - otherwise busy ones drain: they get no new leases, and when none is left all that have to leave are stopped at
//     once. Until then later models may only take what is left over.
// Draining is decided anew by each pass, but who drains already is chosen again first: a lease that ends refreshes
// recency, and without that two busy models could take turns in draining for ever.
#include <fmt/format.h>

#include <algorithm>

#include "context/impl.h"
#include "context/planted_bug.h"
#include "context/victims.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

Error unloaded_while_loading(const ModelId& id) {
  return {ErrorCode::kConflict, fmt::format("{} was unloaded while loading; load it again", in_quotes(id))};
}

}  // namespace

void ContextManager::Impl::settle() {
  expire();
  // Each round beyond the first follows an answer to somebody who waited, so it ends.
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
      yield_guesses();
      shrink_to_limits();
      shrink_parked();
      again = plan();
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
    if (m.state != ModelState::kLoading || state_.now < after(m.started, state_.options.load_timeout)) continue;
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
  if (state_.draining && !state_.drain_aborted) note_timer(state_.drain_deadline);
  for (const auto& [id, m] : state_.models) {
    if (m.state == ModelState::kLoading) note_timer(after(m.started, state_.options.load_timeout));
    if (!state_.draining) note_ttl(m);
  }
}

// ---- what a model does by itself ----

bool ContextManager::Impl::advance(Model& m) {
  // It has an engine, no lease, and was not told to stop.
  const bool free = m.state == ModelState::kLoading || (m.resident() && m.leases.empty());
  if ((state_.draining || !m.known) && free) {
    stop(m, state_.draining ? "the server is shutting down" : "the model is no longer in the catalog");
  }
  if (!state_.queue.lines(m.id).unloads.empty()) advance_unload(m);
  if (!state_.queue.lines(m.id).parks.empty()) advance_park(m);
  if (m.outdated && (m.state == ModelState::kLoading || (m.resident() && m.leases.empty()))) {
    const bool was_parked = m.state == ModelState::kParked || m.state == ModelState::kParking;
    stop(m, "its file or its settings have changed");
    // It was wanted in memory, and still is.
    if (!was_parked && state_.queue.lines(m.id).unloads.empty()) m.eager = state_.queue.next_place();
  }
  if (m.preparing() && !state_.wanted(m)) give_up(m);
  if (m.state == ModelState::kCold && state_.wanted(m)) start_inspection(m);
  return !m.known && m.state == ModelState::kCold && state_.queue.lines(m.id).empty();
}

void ContextManager::Impl::advance_unload(Model& m) {
  const std::uint64_t unload_place = state_.queue.lines(m.id).first_unload();
  const RequestQueue::Line& leases = state_.queue.lines(m.id).leases;
  // Who asked for it before the unload is served first, as long as it can be served.
  const bool owed = !leases.empty() && leases.begin()->first < unload_place;
  switch (m.state) {
    case ModelState::kStopping:
      return;
    case ModelState::kHot:
      if (m.leases.empty() && (m.draining || !owed)) stop(m, "unloaded by an operator");
      return;
    case ModelState::kParking:
    case ModelState::kParked:
    case ModelState::kWaking:
      if (owed) return;
      reject_loads(m, unload_place, unloaded_while_loading(m.id));
      stop(m, "unloaded by an operator");
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
  if (m.state == ModelState::kLoading) {
    stop(m, "unloaded by an operator while loading");
  } else {
    finish_unloads(m);
  }
}

void ContextManager::Impl::start_inspection(Model& m) {
  m.state = ModelState::kInspecting;
  m.ticket = state_.next_ticket++;
  m.evicted.clear();
  m.read_ahead = false;
  actions_.emplace_back(Inspect{m.id, m.ticket});
}

// ---- room ----

void ContextManager::Impl::shrink_to_limits() {
  while (!state_.ledger.after_exits().within()) {
    Model* hot = nullptr;
    Model* parked = nullptr;
    state_.cache.visit_victims([&](const CacheEntry& entry) {
      Model& m = state_.models.at(entry.id);
      Model*& first = m.state == ModelState::kHot ? hot : parked;
      if (first == nullptr) first = &m;
      return hot == nullptr;
    });
    const std::string why = "evicted, as the memory budget or max_models is smaller now";
    if (Model* const guess = idle_guess()) {
      withdraw(*guess, why, nullptr);
      continue;
    }
    const Room room = state_.ledger.after_exits();
    const bool too_many = room.max_models != 0 && room.slots > room.max_models;
    if (hot != nullptr) {
      const bool frees = too_many || state_.expected_residue(*hot) < state_.ledger.held(*hot->engine);
      const ImageRoom image = state_.parkable(*hot) && frees ? make_image_room(*hot) : ImageRoom::kNever;
      if (image == ImageRoom::kNow) {
        park_to_make_room(*hot, why, {});
      } else if (!state_.ledger.after_exits().within()) {  // what was stopped for its image may have been enough
        evict(*hot, why, {});
      }
    } else if (parked != nullptr && room.committed > room.budget) {
      evict(*parked, why, {});
    } else {
      return;
    }
  }
}

bool ContextManager::Impl::may_switch(const Model& claimant) {
  constexpr Duration kSpan = std::chrono::seconds(1);
  if (claimant.switching || state_.options.max_switches_per_second == 0) return true;
  while (!state_.switches.empty() && state_.switches.front() + kSpan <= state_.now) state_.switches.pop_front();
  if (state_.switches.size() < state_.options.max_switches_per_second || planted_bug(PlantedBug::kSwitchesUnbounded))
    return true;
  // As many as the limit are younger than a second; the oldest of the last so many decides.
  const TimePoint next = state_.switches[state_.switches.size() - state_.options.max_switches_per_second] + kSpan;
  switch_possible_ = std::min(switch_possible_.value_or(next), next);
  return false;
}

void ContextManager::Impl::begin_switch(Model& claimant) {
  const bool begun = std::exchange(claimant.switching, true);
  if (!begun && state_.options.max_switches_per_second > 0) state_.switches.push_back(state_.now);
}

bool ContextManager::Impl::plan() {
  struct Claim {
    bool forced;
    RequestQueue::Turn turn;
    Model* model;
  };
  std::vector<Claim> line;
  for (auto& [id, m] : state_.models) {
    if (state_.waits_for_room(m)) line.push_back({state_.forced(m), state_.turn(m), &m});
  }
  // An operator who forces does not wait in line.
  std::sort(line.begin(), line.end(),
            [](const Claim& a, const Claim& b) { return a.forced != b.forced ? a.forced : a.turn < b.turn; });
  for (auto& [id, m] : state_.models) {
    m.was_draining = m.draining;
    m.draining = false;
    m.claimed = false;
    // What was decided for a load that came, or that nobody wants any more, is not why the next one comes.
    if (!state_.waits_for_room(m)) {
      m.room_plan.clear();
      m.room_decision = 0;
      m.switching = false;
    }
  }
  Pass pass{state_.ledger.now(), state_.ledger.after_exits()};
  bool answered = false;
  for (const Claim& claim : line) {
    // A parked one may have been told to leave for one before it.
    if (state_.waits_for_room(*claim.model) && !claim.model->claimed) answered |= place(*claim.model, pass);
  }
  return answered;
}

void ContextManager::Impl::give_up(Model& m) {
  let_go(m);
  m.guess.reset();
  m.evicted.clear();
  if (m.preparing()) m.state = ModelState::kCold;
}

void ContextManager::Impl::start(Model& m) {
  if (m.state == ModelState::kParked) {
    wake(m);
  } else {
    spawn(m);
  }
}

bool ContextManager::Impl::place(Model& m, Pass& pass) {
  if (m.footprint > state_.ledger.budget()) {
    const Error error = refused(m, too_large(m.id, m.footprint));
    m.last_failure = error;
    reject_wanting(m, error);
    give_up(m);
    return true;
  }
  if (state_.comes_back_unasked(m) && state_.queue.wanting() > 0 && !planted_bug(PlantedBug::kComesBackFirst))
    return false;
  const Bytes needs = state_.lacking(m);
  const bool held_back =
      state_.pressure && m.state != ModelState::kParked && !planted_bug(PlantedBug::kPressureIgnored);
  if (!held_back && pass.now.fits(needs) && pass.planned.fits(needs)) {
    pass.now.take(needs);
    pass.planned.take(needs);
    start(m);
    return false;
  }
  if (state_.queue.lines(m.id).wanting() == 0) {
    // Nobody waits for an eager preload, so it takes nobody's place.
    give_up(m);
    return true;
  }
  withdraw_for(m, pass);
  if (pass.planned.fits(needs)) {
    pass.planned.take(needs);
    return false;
  }
  if (stop_coming_back()) return true;
  Candidates candidates;
  if (pass.may_evict) add_idle_candidates(candidates);
  auto chosen = choose_victims(pass.planned, needs, candidates.departures);
  const bool force = state_.forced(m);
  bool answered = false;
  if (!chosen && !force) {
    answered = !state_.queue.lines(m.id).loads.empty();
    if (answered) reject_loads(m, UINT64_MAX, refused(m, no_room_for_load(m.id, needs)));
    if (state_.queue.lines(m.id).leases.empty()) {
      give_up(m);
      return true;
    }
  }
  if (!chosen && pass.may_evict) {
    add_busy_candidates(m, force, candidates);
    chosen = choose_victims(pass.planned, needs, candidates.departures);
  }
  if (chosen) {
    displace(m, force, candidates, *chosen, pass);
    return answered;
  }
  decide_room(m, candidates, nullptr, /*waits=*/true);
  if (force || !state_.never_fits_beside_pinned(m)) {
    pass.planned.take(needs);
    pass.may_evict = false;
  }
  return answered;
}

void ContextManager::Impl::Candidates::add(const Model& m, Departure departure, bool stops, bool ready) {
  departures.push_back(departure);
  whose.push_back({&m, stops, ready});
}

// In the order given: first all that can be had without losing a conversation, then the rest.
void ContextManager::Impl::add_leavers(const std::vector<const Model*>& models, bool ready, bool weighed,
                                       Candidates& candidates) const {
  const auto cost_of = [&](const Model& m, double seconds) -> std::optional<double> {
    const std::optional<double> demand = weighed ? state_.cache.demand(m.id) : std::nullopt;
    if (!demand) return std::nullopt;
    return *demand * seconds;
  };
  std::vector<std::pair<const Model*, std::size_t>> keep_something;  // and the index of their parking, if any
  for (const Model* m : models) {
    const Bytes held = state_.ledger.held(*m->engine);
    if (m->state == ModelState::kParked || m->state == ModelState::kParking) {
      keep_something.emplace_back(m, SIZE_MAX);
    } else if (state_.parkable(*m) && (m->state == ModelState::kHot || m->state == ModelState::kWaking)) {
      keep_something.emplace_back(m, candidates.departures.size());
      candidates.add(*m,
                     {.frees = held - state_.expected_residue(*m),
                      .cost = cost_of(*m, reload_seconds(state_.usual_wake_time(*m)))},
                     /*stops=*/false, ready);
    } else {
      candidates.add(*m, {.frees = held, .cost = cost_of(*m, reload_seconds(state_.usual_load_time(*m)))},
                     /*stops=*/true, ready);
    }
  }
  for (const auto& [m, parking] : keep_something) {
    const Bytes keeps = m->state == ModelState::kParked ? state_.ledger.held(*m->engine) : state_.expected_residue(*m);
    const double lost =
        std::max(reload_seconds(state_.usual_load_time(*m)) - reload_seconds(state_.usual_wake_time(*m)), 0.0);
    const Departure stop{
        .frees = keeps, .slot = false, .after = parking, .keeps_nothing = true, .cost = cost_of(*m, lost)};
    candidates.add(*m, stop, /*stops=*/true, ready);
  }
}

void ContextManager::Impl::add_idle_candidates(Candidates& candidates) const {
  std::vector<const Model*> idle_ones;
  state_.cache.visit_victims([&](const CacheEntry& entry) {
    const Model& m = state_.models.at(entry.id);
    if (!m.claimed) idle_ones.push_back(&m);
    return true;
  });
  add_leavers(idle_ones, /*ready=*/true, /*weighed=*/true, candidates);
  // What these will keep can be had as well, once they are parked.
  std::vector<const Model*> parking;
  for (const auto& [id, m] : state_.models) {
    if (m.state == ModelState::kParking && !m.claimed && !m.pinned && !state_.wanted(m)) parking.push_back(&m);
  }
  add_leavers(parking, /*ready=*/false, /*weighed=*/true, candidates);
}

void ContextManager::Impl::add_busy_candidates(const Model& claimant, bool forced, Candidates& candidates) const {
  std::vector<const Model*> now;
  std::vector<const Model*> pinned;
  std::vector<const Model*> later;
  const RequestQueue::Turn claimant_turn = state_.turn(claimant);
  for (const auto& [id, m] : state_.models) {
    if (m.claimed || !m.engine || m.state == ModelState::kStopping || &m == &claimant) continue;
    const bool offered = state_.idle(m) || (m.state == ModelState::kParking && !m.pinned && !state_.wanted(m));
    if (offered) continue;  // by add_idle_candidates
    if (m.state == ModelState::kLoading || m.state == ModelState::kParking || m.state == ModelState::kWaking) {
      if (!m.pinned || forced) later.push_back(&m);
    } else if (m.pinned) {
      if (forced) pinned.push_back(&m);
    } else {
      // The older requests are about to be served, except where they wait for a slot: such a request waits for those
      // that run, as the claimant does.
      const bool for_slot = m.state == ModelState::kHot && m.slots > 0 && (m.was_draining || !state_.can_grant(m));
      const bool next_turn = !for_slot || planted_bug(PlantedBug::kLineProtects);
      const bool older_waiters = next_turn && state_.turn(m) < claimant_turn;
      const bool must_go = forced || state_.leaving_anyway(m);
      if (older_waiters && !must_go) continue;
      const bool settled =
          must_go || m.state == ModelState::kParked || state_.now >= state_.residency_ends(m, claimant);
      (settled && !planted_bug(PlantedBug::kBusyNeverDrains) ? now : later).push_back(&m);
    }
  }
  const auto by_rank = [&](const Model* a, const Model* b) {
    if (a->was_draining != b->was_draining) return a->was_draining;
    return state_.cache.rank(a->id) < state_.cache.rank(b->id);
  };
  std::sort(now.begin(), now.end(), by_rank);
  std::sort(pinned.begin(), pinned.end(), by_rank);
  // In this order, whatever the policy weighs: who drains already goes on.
  add_leavers(now, /*ready=*/true, /*weighed=*/false, candidates);
  add_leavers(pinned, /*ready=*/true, /*weighed=*/false, candidates);
  add_leavers(later, /*ready=*/false, /*weighed=*/false, candidates);
}

void ContextManager::Impl::displace(Model& claimant, bool forced, const Candidates& candidates,
                                    const std::vector<std::size_t>& chosen, Pass& pass) {
  std::vector<std::pair<Model*, bool>> leave;  // and whether it stops
  bool all_ready = true;
  bool all_free = true;
  for (const std::size_t i : chosen) {
    const Candidates::Whose& whose = candidates.whose[i];
    Model& m = state_.models.at(whose.model->id);
    const auto before = std::find_if(leave.begin(), leave.end(), [&](const auto& l) { return l.first == &m; });
    if (before == leave.end()) {
      leave.emplace_back(&m, whose.stops);
    } else {
      before->second |= whose.stops;
    }
    m.claimed = true;
    pass.planned.give_back(candidates.departures[i].frees, candidates.departures[i].slot);
    all_ready &= whose.ready;
    all_free &= m.leases.empty();
    const TimePoint settled = state_.residency_ends(m, claimant);
    if (m.state == ModelState::kHot && settled > state_.now) {
      switch_possible_ = std::min(switch_possible_.value_or(settled), settled);
    }
  }
  pass.planned.take(state_.lacking(claimant));
  decide_room(claimant, candidates, &chosen, /*waits=*/!all_ready || !all_free);
  if (!all_ready || (all_free && !may_switch(claimant))) {
    pass.may_evict = false;
    return;
  }
  cause_ = claimant.room_decision;
  const std::string why = fmt::format("evicted to make room for {}", in_quotes(claimant.id));
  for (const auto& [m, stops] : leave) {
    if (m->state == ModelState::kHot && !m->was_draining) m->had_turn = state_.now;
    if (forced) {
      m->pinned = false;
      abort_leases(*m, {ErrorCode::kNoCapacity,
                        fmt::format("cancelled: the model was unloaded by an operator to make room for {}",
                                    in_quotes(claimant.id)),
                        {},
                        1});
      refresh_evictable(*m);  // it may stay for a while, without its pin
    }
    if (!all_free) {
      // Who is idle may go on serving until the last one is free, except if that would only be aborted.
      m->draining = m->state == ModelState::kHot && (forced || !state_.idle(*m));
      refresh_evictable(*m);
      continue;
    }
    const ImageRoom image = stops ? ImageRoom::kNever : make_image_room(*m);
    // All may have to wait for room for their images.
    if (image == ImageRoom::kNow) {
      begin_switch(claimant);
      park_to_make_room(*m, why, claimant.id);
    } else if (image == ImageRoom::kNever && m->state != ModelState::kStopping) {
      begin_switch(claimant);
      claimant.evicted.push_back(m->id);
      evict(*m, why, claimant.id);
    }
  }
  cause_ = 0;
  if (!all_free) pass.may_evict = false;
  read_ahead(claimant);
}

void ContextManager::Impl::read_ahead(Model& m) {
  if (m.state != ModelState::kWaitingForRoom || state_.pressure || std::exchange(m.read_ahead, true)) return;
  actions_.emplace_back(ReadAhead{m.id});
}

}  // namespace minerva
