// What each event changes by itself. What follows from the new state is planning.cc's.
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

// An engine has fewer (the config's `parallel` says how many).
constexpr std::size_t kMostSlots = 256;

}  // namespace

// ---- the catalog ----

void ContextManager::Impl::on(const ModelAdded& event) {
  const auto [it, is_new] = models_.try_emplace(event.model);
  Model& m = it->second;
  m.id = event.model;
  const bool was_eager = !is_new && m.known && m.preload == PreloadStrategy::kEager;
  if (is_new || !m.known || event.pinned != m.pinned_by_catalog) m.pinned = event.pinned;
  m.pinned_by_catalog = event.pinned;
  if (!m.known) --removed_models_;
  m.known = true;
  m.preload = event.preload;
  m.ttl = event.ttl;
  m.unload_ttl = event.unload_ttl;
  m.slots = event.slots;
  m.outdated = event.outdated && (m.state == ModelState::kLoading || m.resident());
  if (event.outdated) {
    m.breaker = Breaker();
    m.last_failure.reset();
  }
  const bool inspect_anew = event.outdated && m.preparing() && !planted_bug(PlantedBug::kOldInspectionKept);
  if (inspect_anew) m.state = ModelState::kCold;  // by whoever wants it
  refresh_evictable(m);
  // Once: a catalog that is read again does not bring back what an operator unloaded.
  const bool wants_now = m.preload == PreloadStrategy::kEager && !was_eager && !draining_ && !m.breaker.open(now_);
  const bool resident = m.state != ModelState::kCold && m.state != ModelState::kStopping;
  if (wants_now && !resident && !m.eager) m.eager = queue_.next_place();
}

void ContextManager::Impl::on(const ModelRemoved& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return;
  m->known = false;
  ++removed_models_;
  let_go(*m);
  reject_wanting(*m, not_found(m->id));
}

// ---- requests ----

void ContextManager::Impl::on(const LeaseRequested& event) {
  ++counts_.accepted;
  Model* m = find_known(event.model);
  if (m == nullptr) return reject_lease(event.request, not_found(event.model));
  if (draining_) return reject_lease(event.request, draining_error());
  if (event.looking) return look(event, *m);
  if (is_too_wide(*m, event.slots)) return reject_lease(event.request, too_many_slots(*m, event.slots));
  if (options_.prediction.preload || options_.prediction.read_ahead) {
    predictor_.asked(event.caller.user, m->id, now_);
    asked_last_ = event.caller.user;
    asked_on_paper(m->id);
  }
  if (m->breaker.open(now_)) return reject_lease(event.request, refused(*m, quarantined_error(*m)));
  const bool hot = m->state == ModelState::kHot;
  const bool resident = m->resident();
  if (pressure_ && !resident && m->state != ModelState::kLoading) {
    return reject_lease(event.request, refused(*m, memory_short_error(*m)));
  }
  if (must_wait(*m, event.slots) && queue_is_full(*m)) return reject_lease(event.request, refused(*m, queue_full(*m)));
  // Visits, and the leases of an engine that says nothing of its slots, are bounded by this alone.
  if (has_too_many_leases(*m)) return reject_lease(event.request, refused(*m, too_many_leases(*m)));
  const bool joins = m->state == ModelState::kLoading;
  if (!joins || !planted_bug(PlantedBug::kJoinIsNoLookup)) cache_.count_lookup(resident);
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

bool ContextManager::Impl::has_too_many_leases(const Model& m) const {
  return m.leases.size() >= kMostSlots + options_.max_queue_per_model;
}

Error ContextManager::Impl::too_many_leases(const Model& m) const {
  return {ErrorCode::kQueueFull,
          fmt::format("{} works on {} requests already; try again later", in_quotes(m.id), m.leases.size()),
          {},
          retry_seconds(expected_wait(m))};
}

void ContextManager::Impl::look(const LeaseRequested& event, Model& m) {
  const bool leaves = m.draining || m.stalled || m.outdated || queue_.lines(m.id).first_leave() != UINT64_MAX;
  if (m.state != ModelState::kHot || leaves) {
    return reject_lease(event.request, {ErrorCode::kModelNotLoaded,
                                        fmt::format("{} is not loaded, and this request does not load it; add "
                                                    "?autoload=true to a GET, or load the model first",
                                                    in_quotes(m.id)),
                                        "model"});
  }
  if (has_too_many_leases(m)) return reject_lease(event.request, too_many_leases(m));
  // Its engine stays as long as somebody looks at it; nothing else is noted.
  m.leases.emplace(event.request, false);
  leases_.emplace(event.request, Lease{m.id, *m.engine, now_, CacheOutcome::kHit, /*retried=*/false, /*looking=*/true});
  refresh_evictable(m);
  actions_.emplace_back(Grant{event.request, m.id, *m.engine, CacheOutcome::kHit, Duration::zero()});
}

void ContextManager::Impl::on(const LoadRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  if (draining_) return reject(event.request, draining_error());
  // The operator knows better: an explicit load is always tried.
  m->breaker.let_through();
  const bool hot = m->state == ModelState::kHot;
  const bool at_once = hot && !m->outdated && queue_.lines(m->id).first_leave() == UINT64_MAX;
  if (!at_once && queue_is_full(*m)) return reject(event.request, refused(*m, queue_full(*m)));
  if (pressure_ && !m->resident() && m->state != ModelState::kLoading) {
    return reject(event.request, refused(*m, memory_short_error(*m)));
  }
  wait({.id = event.request,
        .kind = WaitKind::kLoad,
        .model = m->id,
        .deadline = event.deadline,
        .preload = event.preload,
        .force = event.force});
  // Also while it drains for another: it is loaded, which is what was asked.
  if (at_once) answer_load(*m, event.request, /*just_loaded=*/false);
}

void ContextManager::Impl::on(const UnloadRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  if (m->state == ModelState::kCold && !wanted(*m)) {
    if (!planted_bug(PlantedBug::kUnloadedComesBack)) let_go(*m);
    return done_unchanged(event.request, *m);
  }
  if (m->state == ModelState::kStopping) let_go(*m);
  if (event.force) {
    force_out(*m, "unloaded");
  } else if (m->pinned && m->state != ModelState::kStopping) {
    return reject(
        event.request,
        {ErrorCode::kConflict, fmt::format("{} is pinned; unpin it or call again with ?force=true", in_quotes(m->id))});
  }
  m->past.reset();
  wait({.id = event.request,
        .kind = WaitKind::kUnload,
        .model = m->id,
        .deadline = m->state == ModelState::kStopping ? TimePoint::max() : event.deadline});
  // At once, so that what needs no waiting works with a deadline of now.
  advance_unload(*m);
}

void ContextManager::Impl::on(const ParkRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  const bool wakes = m->state == ModelState::kWaking || (m->state == ModelState::kParked && wanted(*m));
  if (!m->resident() || (m->state == ModelState::kParked && !wakes)) {
    if (m->state == ModelState::kLoading || m->preparing()) {
      return reject(event.request,
                    {ErrorCode::kConflict, fmt::format("{} is not loaded yet; park it once it is", in_quotes(m->id))});
    }
    return done_unchanged(event.request, *m);
  }
  if (draining_) return reject(event.request, draining_error());
  if (!m->can_park || !options_.parking.enabled) return reject(event.request, cannot_park(*m));
  if (event.force) {
    force_out(*m, "parked");
  } else if (m->pinned) {
    return reject(
        event.request,
        {ErrorCode::kConflict, fmt::format("{} is pinned; unpin it or call again with ?force=true", in_quotes(m->id))});
  }
  m->not_parked_before = {};  // the operator knows better
  wait({.id = event.request,
        .kind = WaitKind::kPark,
        .model = m->id,
        .deadline = m->state == ModelState::kParking ? TimePoint::max() : event.deadline});
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
                             .footprint = m->engine ? ledger_.held(*m->engine) : Bytes()});
}

void ContextManager::Impl::on(const RequestCancelled& event) {
  const Waiter* waiter = queue_.find(event.request);
  if (waiter == nullptr) return;
  if (planted_bug(PlantedBug::kGrantToCancelled) && waiter->kind == WaitKind::kLease) return;
  if (take(event.request).kind == WaitKind::kLease) ++counts_.cancelled;
}

void ContextManager::Impl::on(const LeaseReleased& event) {
  const auto it = leases_.find(event.request);
  if (it == leases_.end()) return;
  const Lease lease = it->second;
  leases_.erase(it);
  ++(event.end == LeaseEnd::kCompleted ? counts_.completed
     : event.end == LeaseEnd::kFailed  ? counts_.failed
                                       : counts_.cancelled);
  const auto found = models_.find(lease.model);
  if (found == models_.end() || found->second.engine != lease.engine) return;
  Model& m = found->second;
  m.leases.erase(event.request);
  give_back_slots(m, lease);
  if (!lease.looking) cache_.touch(m.id, now_);
  note_ttl(m);
  if (event.end == LeaseEnd::kCompleted && !lease.looking) {
    m.breaker.served();
    if (lease.slots > 0 || planted_bug(PlantedBug::kVisitIsService)) learn_service_time(m, now_ - lease.granted);
    m.last_failure.reset();
  }
  refresh_evictable(m);
  // Its last lease may be what the replacement waited for, and at_rest() does not look for that.
  if (m.outdated) advance(m);
}

void ContextManager::Impl::on(const LeaseLost& event) {
  const auto it = leases_.find(event.request);
  if (it == leases_.end()) return;
  const Lease lease = it->second;
  const bool alive = engines_.contains(lease.engine);
  if (alive) on(LeaseReleased{event.request, LeaseEnd::kFailed});
  if (alive) return reject(event.request, {ErrorCode::kEngineCrashed, "the engine broke off the answer"});
  leases_.erase(it);
  if (planted_bug(PlantedBug::kRetryCountsTwice)) ++counts_.accepted;
  Model* m = find_known(lease.model);
  if (m == nullptr) return reject_lease(event.request, not_found(lease.model));
  if (draining_) return reject_lease(event.request, draining_error());
  const bool open = m->breaker.open(now_);
  if (open || lease.looking || (lease.retried && !planted_bug(PlantedBug::kRetryWithoutEnd))) {
    Error error = m->last_failure.value_or(Error{ErrorCode::kEngineCrashed, "the engine died twice under the request"});
    if (open) error.retry_after_s = retry_seconds(m->breaker.open_until() - now_);
    return reject_lease(event.request, std::move(error));
  }
  // Whatever the length of the queue: it was accepted before.
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
  const auto it = models_.find(event.model);
  if (it == models_.end()) return;
  Model& m = it->second;
  if (m.state != ModelState::kInspecting || m.ticket != event.ticket) return;
  if (event.footprint) {
    m.footprint = *event.footprint;
    m.residue = event.residue;
    if (event.slots > 0) m.slots = event.slots;
    m.state = ModelState::kWaitingForRoom;
    return;
  }
  give_up(m);
  m.last_failure = event.footprint.error();
  const bool too_large = m.last_failure->code == ErrorCode::kBudgetExceeded;
  reject_wanting(m, too_large ? refused(m, *m.last_failure) : *m.last_failure);
}

void ContextManager::Impl::on(const EngineReady& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  if (m.state != ModelState::kLoading) return;
  m.can_park = event.can_park;
  become_hot(m);
}

void ContextManager::Impl::on(const EngineParked& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  if (m.state == ModelState::kParking) become_parked(m, event);
}

void ContextManager::Impl::on(const ParkRefused& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  if (m.state == ModelState::kParking) stay_hot(m, event.reason, event.image_wanted);
}

void ContextManager::Impl::on(const EngineWoken& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  if (m.state == ModelState::kWaking) become_awake(m, event);
}

void ContextManager::Impl::on(const FootprintMeasured& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  if (m.state != ModelState::kHot && m.state != ModelState::kParking) return;
  m.footprint = event.footprint;
  // On its way out it holds what it holds; the figure is for the wake.
  if (m.state == ModelState::kParking) return;
  ledger_.correct(event.engine, event.footprint);
  refresh_entry(m);
}

void ContextManager::Impl::on(const EngineExited& event) {
  auto it = engines_.find(event.engine);
  if (it == engines_.end() && !engines_.empty() && planted_bug(PlantedBug::kOldExitClearsNew)) --it;
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  const ModelState was = m.state;
  const bool on_guess = m.guess.has_value();
  become_cold(m);
  if (on_guess) {
    guess_failed(m);
  } else {
    engine_died(m, was, event.reason);
  }
  finish_unloads(m);
}

void ContextManager::Impl::on(const EngineStalled& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  const bool should_work = m.state == ModelState::kLoading || m.state == ModelState::kParking ||
                           m.state == ModelState::kWaking || !m.leases.empty();
  if (!should_work || m.stalled || planted_bug(PlantedBug::kStallIgnored)) return;
  m.stalled = true;
  refresh_evictable(m);
  actions_.emplace_back(Kill{event.engine, m.id});
}

// ---- the daemon ----

void ContextManager::Impl::on(const PressureChanged& event) {
  pressure_ = event.under_pressure;
  if (!pressure_) return;
  for (auto& [id, m] : models_) m.read_on_guess = false;
  give_back(event.short_by);
}

void ContextManager::Impl::on(const BudgetChanged& event) {
  ledger_.set_limits(event.memory_budget, event.max_models);
  options_.parking = event.parking;
}

void ContextManager::Impl::on(const WaitingChanged& event) {
  if (!planted_bug(PlantedBug::kQueueLimitIsFixed)) {
    options_.max_queue_per_model = event.max_queue_per_model;
    options_.max_queue = event.max_queue;
  }
  options_.load_timeout = event.load_timeout;
  options_.min_residency = event.min_residency;
  options_.head_start = event.head_start;
  options_.max_switches_per_second = event.max_switches_per_second;
}

void ContextManager::Impl::on(const PredictionChanged& event) {
  options_.prediction = event.prediction;
  if (event.prediction.preload) return;
  for (auto& [id, m] : models_) {
    if (m.guess && m.preparing() && queue_.lines(id).wanting() == 0) give_up(m);
  }
}

void ContextManager::Impl::on(const DrainRequested& event) {
  draining_ = true;
  drain_deadline_ = event.deadline;
  remember_residents();
  for (auto& [id, m] : models_) {
    m.eager.reset();
    while (queue_.lines(id).wanting() > 0) {
      const RequestQueue::Lines& lines = queue_.lines(id);
      const RequestId request = lines.leases.empty() ? lines.loads.begin()->second : lines.leases.begin()->second;
      reject_waiter(take(request), draining_error());
    }
  }
}

void ContextManager::Impl::on(const TimerFired& /*event*/) {}

// ---- answers ----

Model* ContextManager::Impl::find_known(const ModelId& id) {
  const auto it = models_.find(id);
  return it == models_.end() || !it->second.known ? nullptr : &it->second;
}

bool ContextManager::Impl::queue_is_full(const Model& m) const {
  return queue_.lines(m.id).wanting() >= options_.max_queue_per_model || queue_.wanting() >= options_.max_queue;
}

void ContextManager::Impl::wait(Waiter waiter) {
  check(!leases_.contains(waiter.id), "a request id was used twice");
  waiter.arrived = now_;
  waiter.counts_from = now_ + head_start(waiter.priority);
  const ModelId id = waiter.model;
  if (waiter.kind == WaitKind::kLease || waiter.kind == WaitKind::kLoad) guess_used(models_.at(id));
  queue_.add(std::move(waiter));
  refresh_evictable(models_.at(id));
}

Duration ContextManager::Impl::head_start(Priority priority) const {
  switch (priority) {
    case Priority::kLow:
      return options_.head_start;
    case Priority::kNormal:
      return Duration::zero();
    case Priority::kHigh:
      break;
  }
  return planted_bug(PlantedBug::kHighGoesFirst) ? -std::chrono::hours(1) : -options_.head_start;
}

Waiter ContextManager::Impl::take(RequestId id) {
  Waiter waiter = queue_.take(id);
  refresh_evictable(models_.at(waiter.model));
  return waiter;
}

void ContextManager::Impl::reject(RequestId request, Error error) {
  actions_.emplace_back(Reject{request, std::move(error)});
}

void ContextManager::Impl::reject_lease(RequestId request, Error error) {
  constexpr int kTooManyRequests = 429;
  constexpr int kUnavailable = 503;
  const int status = error_info(error.code).http_status;
  ++(status == kTooManyRequests || status == kUnavailable ? counts_.shed : counts_.failed);
  reject(request, std::move(error));
}

void ContextManager::Impl::reject_waiter(const Waiter& waiter, Error error) {
  if (waiter.kind == WaitKind::kLease) return reject_lease(waiter.id, std::move(error));
  reject(waiter.id, std::move(error));
}

void ContextManager::Impl::reject_wanting(Model& m, const Error& error) {
  while (!queue_.lines(m.id).leases.empty()) reject_waiter(take(queue_.lines(m.id).leases.begin()->second), error);
  reject_loads(m, UINT64_MAX, error);
}

void ContextManager::Impl::reject_loads(Model& m, std::uint64_t before_place, const Error& error) {
  while (!queue_.lines(m.id).loads.empty()) {
    const auto [place, id] = *queue_.lines(m.id).loads.begin();
    if (place >= before_place) return;
    reject(take(id).id, error);
  }
}

void ContextManager::Impl::done_unchanged(RequestId request, const Model& m) {
  actions_.emplace_back(Done{
      .request = request, .model = m.id, .changed = false, .footprint = m.engine ? ledger_.held(*m.engine) : Bytes()});
}

void ContextManager::Impl::force_out(Model& m, std::string_view how) {
  m.pinned = false;
  let_go(m);
  const std::string who = fmt::format("the model {} was {} by an operator", in_quotes(m.id), how);
  const int retry_after_s = retry_seconds(guess_load_time(m));
  abort_leases(m, {ErrorCode::kNoCapacity, "cancelled: " + who, {}, retry_after_s});
  // Who asked for the load has been overruled; who asked the model may come again.
  reject_loads(m, UINT64_MAX, {ErrorCode::kConflict, who + "; load it again"});
  reject_wanting(m, {ErrorCode::kNoCapacity, who, {}, retry_after_s});
}

void ContextManager::Impl::abort_leases(Model& m, const Error& error) {
  for (auto& [request, aborted] : m.leases) {
    if (!aborted) actions_.emplace_back(Abort{request, error});
    aborted = true;
  }
}

void ContextManager::Impl::finish_unloads(Model& m) {
  while (!queue_.lines(m.id).unloads.empty()) {
    const Waiter waiter = take(queue_.lines(m.id).unloads.begin()->second);
    actions_.emplace_back(Done{.request = waiter.id, .model = m.id, .changed = true, .took = now_ - waiter.arrived});
  }
}

void ContextManager::Impl::reject_parks(Model& m, const Error& error) {
  while (!queue_.lines(m.id).parks.empty()) reject(take(queue_.lines(m.id).parks.begin()->second).id, error);
}

void ContextManager::Impl::answer_load(Model& m, RequestId id, bool just_loaded) {
  const Waiter waiter = take(id);
  if (!waiter.preload) cache_.expect_use(m.id, now_);
  actions_.emplace_back(Done{.request = waiter.id,
                             .model = m.id,
                             .changed = just_loaded,
                             .took = now_ - waiter.arrived,
                             .evicted = just_loaded ? m.evicted : std::vector<ModelId>(),
                             .footprint = ledger_.held(*m.engine)});
}

}  // namespace minerva
