// What each event changes by itself. What follows from the new state is in settle.cc and plan.cc.
#include <fmt/format.h>

#include <algorithm>

#include "context/impl.h"
#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

Error not_found(const ModelId& id) {
  return {ErrorCode::kModelNotFound,
          fmt::format("there is no model {}; `minerva models` lists those there are", in_quotes(id)), "model"};
}

}  // namespace

// ---- the catalog ----

void ContextManager::Impl::on(const ModelAdded& event) {
  const auto [it, is_new] = state_.models.try_emplace(event.model);
  Model& m = it->second;
  m.id = event.model;
  const bool was_eager = !is_new && m.known && m.preload == PreloadStrategy::kEager;
  if (is_new || !m.known || event.pinned != m.pinned_by_catalog) m.pinned = event.pinned;
  m.pinned_by_catalog = event.pinned;
  if (!m.known) --state_.removed_models;
  m.known = true;
  m.preload = event.preload;
  m.ttl = event.ttl;
  m.unload_ttl = event.unload_ttl;
  m.slots = event.slots;
  m.keeps_pages = event.keeps_pages;
  m.run.outdated = event.outdated && (m.state() == ModelState::kLoading || m.resident());
  if (event.outdated) {
    m.breaker = Breaker();
    m.last_failure.reset();
  }
  const bool inspect_anew = event.outdated && m.preparing() && !planted_bug(PlantedBug::kOldInspectionKept);
  if (inspect_anew) m.phase = phase::Cold();  // whatever wants the model has it inspected
  refresh_evictable(m);
  // Only once: reading the catalog again does not bring back a model that an operator unloaded.
  const bool wants_now =
      m.preload == PreloadStrategy::kEager && !was_eager && !state_.draining && !m.breaker.open(state_.now);
  const bool resident = m.state() != ModelState::kCold && m.state() != ModelState::kStopping;
  if (wants_now && !resident && !m.eager) m.eager = state_.queue.next_place();
}

void ContextManager::Impl::on(const ModelRemoved& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return;
  m->known = false;
  ++state_.removed_models;
  let_go(*m);
  reject_wanting(*m, not_found(m->id));
}

// ---- requests ----

void ContextManager::Impl::on(const LeaseRequested& event) {
  ++counts_.accepted;
  Model* m = find_known(event.model);
  if (m == nullptr) return reject_lease(event.request, not_found(event.model));
  if (state_.draining) return reject_lease(event.request, draining_error());
  if (event.looking) return look(event, *m);
  if (state_.is_too_wide(*m, event.slots)) return reject_lease(event.request, too_many_slots(*m, event.slots));
  if (state_.options.prediction.preload || state_.options.prediction.read_ahead) {
    predictor_.asked(event.caller.user, m->id, state_.now);
    asked_last_ = event.caller.user;
    asked_on_paper(m->id);
  }
  if (m->breaker.open(state_.now)) return reject_lease(event.request, refused(*m, quarantined_error(*m)));
  const bool hot = m->state() == ModelState::kHot;
  const bool resident = m->resident();
  if (state_.pressure && !resident && m->state() != ModelState::kLoading) {
    return reject_lease(event.request, refused(*m, memory_short_error(*m)));
  }
  if (state_.must_wait(*m, event.slots) && state_.queue_is_full(*m))
    return reject_lease(event.request, refused(*m, queue_full(*m)));
  // Nothing else bounds visits, and the leases of an engine whose slots are not known.
  if (state_.has_too_many_leases(*m)) return reject_lease(event.request, refused(*m, too_many_leases(*m)));
  const bool joins = m->state() == ModelState::kLoading;
  if (!joins || !planted_bug(PlantedBug::kJoinIsNoLookup)) state_.cache.count_lookup(resident);
  wait({.id = event.request,
        .kind = WaitKind::kLease,
        .model = m->id,
        .deadline = event.deadline,
        .outcome = hot        ? CacheOutcome::kHit
                   : resident ? CacheOutcome::kParked
                              : CacheOutcome::kMiss,
        .caller = event.caller.user,
        .priority = event.caller.priority,
        .slots = planted_bug(PlantedBug::kVisitTakesSlot) ? std::max(event.slots, 1U) : event.slots});
  expire_waiters();
  serve(*m, /*just_loaded=*/false);
}

Error ContextManager::Impl::too_many_leases(const Model& m) const {
  return {ErrorCode::kQueueFull,
          fmt::format("{} works on {} requests already; try again later", in_quotes(m.id), m.leases.size()),
          {},
          retry_seconds(state_.expected_wait(m))};
}

void ContextManager::Impl::look(const LeaseRequested& event, Model& m) {
  const bool leaves =
      m.draining || m.run.stalled || m.run.outdated || state_.queue.lines(m.id).first_leave() != UINT64_MAX;
  if (m.state() != ModelState::kHot || leaves) {
    return reject_lease(event.request, {ErrorCode::kModelNotLoaded,
                                        fmt::format("{} is not loaded, and this request does not load it; add "
                                                    "?autoload=true to a GET, or load the model first",
                                                    in_quotes(m.id)),
                                        "model"});
  }
  if (state_.has_too_many_leases(m)) return reject_lease(event.request, too_many_leases(m));
  // The engine stays as long as the look holds it; nothing else is noted.
  m.leases.emplace(event.request, false);
  state_.leases.emplace(event.request, GrantedLease{m.id, *m.engine, state_.now, CacheOutcome::kHit, /*retried=*/false,
                                                    /*looking=*/true});
  refresh_evictable(m);
  actions_.emplace_back(Grant{event.request, m.id, *m.engine, CacheOutcome::kHit, Duration::zero()});
}

void ContextManager::Impl::on(const LoadRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  if (state_.draining) return reject(event.request, draining_error());
  // The operator knows better: an explicit load is always tried.
  m->breaker.let_through();
  const bool hot = m->state() == ModelState::kHot;
  const bool at_once = hot && !m->run.outdated && state_.queue.lines(m->id).first_leave() == UINT64_MAX;
  if (!at_once && state_.queue_is_full(*m)) return reject(event.request, refused(*m, queue_full(*m)));
  if (state_.pressure && !m->resident() && m->state() != ModelState::kLoading) {
    return reject(event.request, refused(*m, memory_short_error(*m)));
  }
  wait({.id = event.request,
        .kind = WaitKind::kLoad,
        .model = m->id,
        .deadline = event.deadline,
        .preload = event.preload,
        .force = event.force});
  // Also while the model drains for another one: it is loaded, which is what the operator asked.
  if (at_once) answer_load(*m, event.request, /*just_loaded=*/false);
}

void ContextManager::Impl::on(const UnloadRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  if (m->state() == ModelState::kCold && !state_.wanted(*m)) {
    if (!planted_bug(PlantedBug::kUnloadedComesBack)) let_go(*m);
    return done_unchanged(event.request, *m);
  }
  if (m->state() == ModelState::kStopping) let_go(*m);
  if (event.force) {
    force_out(*m, "unloaded");
  } else if (m->pinned && m->state() != ModelState::kStopping) {
    return reject(
        event.request,
        {ErrorCode::kConflict, fmt::format("{} is pinned; unpin it or call again with ?force=true", in_quotes(m->id))});
  }
  m->past.reset();
  wait({.id = event.request,
        .kind = WaitKind::kUnload,
        .model = m->id,
        .deadline = m->state() == ModelState::kStopping ? TimePoint::max() : event.deadline,
        .asker = event.asker});
  // At once, so that an unload that need not wait works with a deadline of now.
  advance_unload(*m);
}

void ContextManager::Impl::on(const ParkRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  const bool wakes = m->state() == ModelState::kWaking || (m->state() == ModelState::kParked && state_.wanted(*m));
  if (!m->resident() || (m->state() == ModelState::kParked && !wakes)) {
    if (m->state() == ModelState::kLoading || m->preparing()) {
      return reject(event.request,
                    {ErrorCode::kConflict, fmt::format("{} is not loaded yet; park it once it is", in_quotes(m->id))});
    }
    return done_unchanged(event.request, *m);
  }
  if (state_.draining) return reject(event.request, draining_error());
  if (!m->run.can_park || !state_.options.parking.enabled) return reject(event.request, cannot_park(*m));
  if (event.force) {
    force_out(*m, "parked");
  } else if (m->pinned) {
    return reject(
        event.request,
        {ErrorCode::kConflict, fmt::format("{} is pinned; unpin it or call again with ?force=true", in_quotes(m->id))});
  }
  m->run.not_parked_before = {};  // the operator knows better
  wait({.id = event.request,
        .kind = WaitKind::kPark,
        .model = m->id,
        .deadline = m->state() == ModelState::kParking ? TimePoint::max() : event.deadline,
        .patient_until = event.deadline,
        .asker = event.asker});
  advance_park(*m);
}

void ContextManager::Impl::on(const PinRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  const bool changed = m->pinned != event.pinned;
  m->pinned = event.pinned;
  refresh_evictable(*m);
  actions_.emplace_back(Done{.request = event.request,
                             .model = m->id,
                             .changed = changed,
                             .footprint = m->engine ? state_.ledger.held(*m->engine).total() : Bytes()});
}

void ContextManager::Impl::on(const RequestCancelled& event) {
  const Waiter* waiter = state_.queue.find(event.request);
  if (waiter == nullptr) return;
  if (planted_bug(PlantedBug::kGrantToCancelled) && waiter->kind == WaitKind::kLease) return;
  if (take(event.request).kind == WaitKind::kLease) ++counts_.cancelled;
}

void ContextManager::Impl::on(const LeaseReleased& event) {
  const auto it = state_.leases.find(event.request);
  if (it == state_.leases.end()) return;
  const GrantedLease lease = it->second;
  state_.leases.erase(it);
  ++(event.end == LeaseEnd::kCompleted ? counts_.completed
     : event.end == LeaseEnd::kFailed  ? counts_.failed
                                       : counts_.cancelled);
  const auto found = state_.models.find(lease.model);
  if (found == state_.models.end() || found->second.engine != lease.engine) return;
  Model& m = found->second;
  m.leases.erase(event.request);
  give_back_slots(m, lease);
  if (!lease.looking) state_.cache.touch(m.id, state_.now);
  note_ttl(m);
  if (event.end == LeaseEnd::kCompleted && !lease.looking) {
    m.breaker.served();
    if (lease.slots > 0 || planted_bug(PlantedBug::kVisitIsService)) learn_service_time(m, state_.now - lease.granted);
    m.last_failure.reset();
  }
  refresh_evictable(m);
  // The replacement of an outdated engine may have waited for this last lease, and state_.at_rest() does not check
  // that.
  if (m.run.outdated) advance(m);
}

void ContextManager::Impl::on(const LeaseLost& event) {
  const auto it = state_.leases.find(event.request);
  if (it == state_.leases.end()) return;
  const GrantedLease lease = it->second;
  const bool alive = state_.engines.contains(lease.engine);
  if (alive) on(LeaseReleased{event.request, LeaseEnd::kFailed});
  if (alive) return reject(event.request, {ErrorCode::kEngineCrashed, "the engine broke off the answer"});
  state_.leases.erase(it);
  if (planted_bug(PlantedBug::kRetryCountsTwice)) ++counts_.accepted;
  Model* m = find_known(lease.model);
  if (m == nullptr) return reject_lease(event.request, not_found(lease.model));
  if (state_.draining) return reject_lease(event.request, draining_error());
  const bool open = m->breaker.open(state_.now);
  if (open || lease.looking || (lease.retried && !planted_bug(PlantedBug::kRetryWithoutEnd))) {
    Error error = m->last_failure.value_or(Error{ErrorCode::kEngineCrashed, "the engine died twice under the request"});
    if (open) error.retry_after_s = retry_seconds(m->breaker.open_until() - state_.now);
    return reject_lease(event.request, std::move(error));
  }
  // The request was accepted before, so the length of the queue does not matter.
  wait({.id = event.request,
        .kind = WaitKind::kLease,
        .model = m->id,
        .deadline = event.deadline,
        .outcome = lease.outcome,
        .caller = lease.caller,
        .slots = lease.slots,
        .retried = true});
  expire_waiters();
  serve(*m, /*just_loaded=*/false);
}

// ---- engines ----

void ContextManager::Impl::on(const Inspected& event) {
  const auto it = state_.models.find(event.model);
  if (it == state_.models.end()) return;
  Model& m = it->second;
  const auto* const inspection = std::get_if<phase::Inspecting>(&m.phase);
  if (inspection == nullptr || inspection->ticket != event.ticket) return;
  if (event.footprint) {
    m.footprint = *event.footprint;
    m.residue = event.residue;
    if (event.slots > 0) m.slots = event.slots;
    m.phase = phase::WaitingForRoom();
    return;
  }
  give_up(m);
  m.last_failure = event.footprint.error();
  const bool too_large = m.last_failure->code == ErrorCode::kBudgetExceeded;
  reject_wanting(m, too_large ? refused(m, *m.last_failure) : *m.last_failure);
}

void ContextManager::Impl::on(const EngineReady& event) {
  const auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  if (m.state() != ModelState::kLoading) return;
  m.run.can_park = event.can_park;
  become_hot(m);
}

void ContextManager::Impl::on(const EngineParked& event) {
  const auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  if (m.state() == ModelState::kParking) become_parked(m, event);
}

void ContextManager::Impl::on(const ParkRefused& event) {
  const auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  if (m.state() == ModelState::kParking) stay_hot(m, event.reason, event.image_wanted);
}

void ContextManager::Impl::on(const EngineWoken& event) {
  const auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  if (m.state() == ModelState::kWaking) become_awake(m, event);
}

void ContextManager::Impl::on(const WakeRefused& event) {
  const auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  if (m.state() == ModelState::kWaking) stay_parked(m, event.reason);
}

void ContextManager::Impl::on(const FootprintMeasured& event) {
  const auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  if (m.state() != ModelState::kHot && m.state() != ModelState::kParking) return;
  m.footprint = event.footprint;
  // While it parks, it keeps what it holds; the new figure counts for the wake.
  if (m.state() == ModelState::kParking) return;
  state_.ledger.correct(event.engine, event.footprint);
  refresh_entry(m);
}

void ContextManager::Impl::on(const EngineExited& event) {
  auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end() && !state_.engines.empty() && planted_bug(PlantedBug::kOldExitClearsNew)) --it;
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  const ModelState was = m.state();
  const bool on_guess = m.guess.has_value();
  become_cold(m);
  if (on_guess) {
    if (was == ModelState::kLoading && event.reason.code == ErrorCode::kNoCapacity) deny(m.footprint);
    guess_failed(m);
  } else {
    engine_died(m, was, event.reason);
  }
  finish_unloads(m);
}

void ContextManager::Impl::on(const EngineStalled& event) {
  const auto it = state_.engines.find(event.engine);
  if (it == state_.engines.end()) return;
  Model& m = state_.models.at(it->second);
  const bool should_work = m.state() == ModelState::kLoading || m.state() == ModelState::kParking ||
                           m.state() == ModelState::kWaking || !m.leases.empty();
  if (!should_work || m.run.stalled || planted_bug(PlantedBug::kStallIgnored)) return;
  m.run.stalled = true;
  refresh_evictable(m);
  actions_.emplace_back(Kill{event.engine, m.id});
}

// ---- the daemon ----

void ContextManager::Impl::on(const PressureChanged& event) {
  state_.pressure = event.under_pressure;
  if (!state_.pressure) return;
  for (auto& [id, m] : state_.models) m.read_on_guess = false;
  give_back(event.short_by);
}

void ContextManager::Impl::on(const DevicesChanged& event) {
  state_.available = event.available;
  state_.available.set(Footprint::kHost, Bytes(UINT64_MAX));
  apply_limits();
}

void ContextManager::Impl::on(const OptionsChanged& event) {
  const ContextOptions before = std::exchange(state_.options, event.options);
  state_.options.jitter_seed = before.jitter_seed;
  if (planted_bug(PlantedBug::kQueueLimitIsFixed)) {
    state_.options.max_queue_per_model = before.max_queue_per_model;
    state_.options.max_queue = before.max_queue;
  }
  apply_limits();
  if (event.options.prediction.preload) return;
  for (auto& [id, m] : state_.models) {
    if (m.guess && m.preparing() && state_.queue.lines(id).wanting() == 0) give_up(m);
  }
}

void ContextManager::Impl::on(const DrainRequested& event) {
  state_.draining = true;
  state_.drain_deadline = event.deadline;
  remember_residents();
  for (auto& [id, m] : state_.models) {
    m.eager.reset();
    while (state_.queue.lines(id).wanting() > 0) {
      const RequestQueue::Lines& lines = state_.queue.lines(id);
      const RequestId request = lines.leases.empty() ? lines.loads.begin()->second : lines.leases.begin()->second;
      reject_waiter(take(request), draining_error());
    }
  }
}

void ContextManager::Impl::on(const TimerFired& /*event*/) {}

Model* ContextManager::Impl::find_known(const ModelId& id) {
  const auto it = state_.models.find(id);
  return it == state_.models.end() || !it->second.known ? nullptr : &it->second;
}

}  // namespace minerva
