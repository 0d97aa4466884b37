// What each event changes by itself. What follows from the new state is planning.cc's.
#include <fmt/format.h>

#include "context/impl.h"
#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

Error not_found(const ModelId& id) {
  return {ErrorCode::kModelNotFound,
          fmt::format("there is no model {}; `minerva models` lists those there are", quoted(id)), "model"};
}

Error by_operator(std::string what) { return {ErrorCode::kNoCapacity, std::move(what), {}, 1}; }

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
  m.outdated = event.outdated && (m.state == ModelState::kLoading || m.state == ModelState::kHot);
  if (event.outdated && m.preparing()) m.state = ModelState::kCold;  // whoever wants it has it inspected anew
  refresh_evictable(m);
  // Once: a catalog that is read again does not bring back what an operator unloaded.
  const bool wants_now = m.preload == PreloadStrategy::kEager && !was_eager && !draining_ && !m.quarantined(now_);
  const bool resident = m.state != ModelState::kCold && m.state != ModelState::kStopping;
  if (wants_now && !resident && !m.eager) m.eager = queue_.next_place();
}

void ContextManager::Impl::on(const ModelRemoved& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return;
  m->known = false;
  ++removed_models_;
  m->eager.reset();
  reject_wanting(*m, not_found(m->id));
}

// ---- requests ----

void ContextManager::Impl::on(const LeaseRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  if (draining_) return reject_draining(event.request);
  if (m->quarantined(now_)) {
    const Duration left = m->quarantined_until - now_;
    const std::string why = m->last_failure ? m->last_failure->message : "it failed";
    return reject(event.request, {ErrorCode::kQuarantined,
                                  fmt::format("{} failed recently and is tried again in {} s: {}", quoted(m->id),
                                              retry_seconds(left), why),
                                  {},
                                  retry_seconds(left)});
  }
  const bool hot = m->state == ModelState::kHot;
  const bool must_wait = !hot || m->draining || m->outdated || !queue_.lines(m->id).unloads.empty();
  if (must_wait && queue_is_full(event.request, m->id)) return;
  // What an engine has no slot for waits in a line of its own, which knows no end: it counts as waiting here.
  if (m->leases.size() >= kMostSlots + options_.max_queue_per_model) {
    return reject(event.request,
                  {ErrorCode::kQueueFull,
                   fmt::format("{} works on {} requests already; try again later", quoted(m->id), m->leases.size()),
                   {},
                   1});
  }
  const bool joins = m->state == ModelState::kLoading;
  if (!joins || !planted_bug(PlantedBug::kJoinIsNoLookup)) cache_.count_lookup(hot);
  wait({.id = event.request,
        .kind = WaitKind::kLease,
        .model = m->id,
        .deadline = event.deadline,
        .outcome = hot ? CacheOutcome::kHit : CacheOutcome::kMiss});
  serve(*m, /*just_loaded=*/false);
}

void ContextManager::Impl::on(const LoadRequested& event) {
  Model* m = find_known(event.model);
  if (m == nullptr) return reject(event.request, not_found(event.model));
  if (draining_) return reject_draining(event.request);
  // The operator knows better: an explicit load is always tried.
  m->quarantined_until = {};
  m->failures = 0;
  const bool hot = m->state == ModelState::kHot;
  const bool at_once = hot && !m->outdated && queue_.lines(m->id).unloads.empty();
  if (!at_once && queue_is_full(event.request, m->id)) return;
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
    actions_.emplace_back(Done{.request = event.request, .model = m->id, .changed = false});
    return;
  }
  if (m->state == ModelState::kStopping) m->eager.reset();
  if (event.force) {
    m->pinned = false;
    m->eager.reset();
    const std::string who = fmt::format("the model {} was unloaded by an operator", quoted(m->id));
    abort_leases(*m, by_operator("cancelled: " + who));
    reject_wanting(*m, by_operator(who));
  } else if (m->pinned && m->state != ModelState::kStopping) {
    return reject(event.request, {ErrorCode::kConflict,
                                  fmt::format("{} is pinned; unpin it or call again with ?force=true", quoted(m->id))});
  }
  wait({.id = event.request,
        .kind = WaitKind::kUnload,
        .model = m->id,
        .deadline = m->state == ModelState::kStopping ? TimePoint::max() : event.deadline});
  // At once, so that what needs no waiting works with a deadline of now.
  advance_unload(*m);
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
  take(event.request);
}

void ContextManager::Impl::on(const LeaseReleased& event) {
  const auto it = leases_.find(event.request);
  if (it == leases_.end()) return;
  const Lease lease = it->second;
  leases_.erase(it);
  const auto found = models_.find(lease.model);
  if (found == models_.end() || found->second.engine != lease.engine) return;
  Model& m = found->second;
  m.leases.erase(event.request);
  cache_.touch(m.id, now_);
  if (event.served) {
    m.failures = 0;
    m.last_failure.reset();
  }
  refresh_evictable(m);
}

// ---- engines ----

void ContextManager::Impl::on(const Inspected& event) {
  const auto it = models_.find(event.model);
  if (it == models_.end()) return;
  Model& m = it->second;
  if (m.state != ModelState::kInspecting || m.ticket != event.ticket) return;
  if (event.footprint) {
    m.footprint = *event.footprint;
    m.state = ModelState::kWaitingForRoom;
    return;
  }
  m.state = ModelState::kCold;
  m.eager.reset();
  m.last_failure = event.footprint.error();
  reject_wanting(m, event.footprint.error());
}

void ContextManager::Impl::on(const EngineReady& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  if (m.state == ModelState::kLoading) become_hot(m);
}

void ContextManager::Impl::on(const EngineExited& event) {
  auto it = engines_.find(event.engine);
  if (it == engines_.end() && !engines_.empty() && planted_bug(PlantedBug::kOldExitClearsNew)) --it;
  if (it == engines_.end()) return;
  Model& m = models_.at(it->second);
  const ModelState was = m.state;
  become_cold(m);
  if (was == ModelState::kLoading) {
    fail_load(m, event.reason);
  } else if (was == ModelState::kHot) {
    // Once may be bad luck, and whoever waits gets a fresh engine; twice in a row is a habit.
    record_failure(m, event.reason, /*tolerated=*/1);
    if (m.quarantined(now_)) reject_wanting(m, event.reason);
  }
  finish_unloads(m);
}

// ---- the daemon ----

void ContextManager::Impl::on(const BudgetChanged& event) { ledger_.set_limits(event.memory_budget, event.max_models); }

void ContextManager::Impl::on(const WaitingChanged& event) {
  options_.max_queue_per_model = event.max_queue_per_model;
  options_.max_queue = event.max_queue;
  options_.load_timeout = event.load_timeout;
  options_.min_residency = event.min_residency;
}

void ContextManager::Impl::on(const DrainRequested& event) {
  draining_ = true;
  drain_deadline_ = event.deadline;
  for (auto& [id, m] : models_) {
    m.eager.reset();
    while (queue_.lines(id).wanting() > 0) {
      const RequestQueue::Lines& lines = queue_.lines(id);
      const RequestId request = lines.leases.empty() ? lines.loads.begin()->second : lines.leases.begin()->second;
      take(request);
      reject_draining(request);
    }
  }
}

void ContextManager::Impl::on(const TimerFired& /*event*/) {}

// ---- answers ----

Model* ContextManager::Impl::find_known(const ModelId& id) {
  const auto it = models_.find(id);
  return it == models_.end() || !it->second.known ? nullptr : &it->second;
}

bool ContextManager::Impl::queue_is_full(RequestId request, const ModelId& model) {
  const std::size_t here = queue_.lines(model).wanting();
  const bool full_here = here >= options_.max_queue_per_model;
  if (!full_here && queue_.wanting() < options_.max_queue) return false;
  reject(request, {ErrorCode::kQueueFull,
                   full_here ? fmt::format("{} requests wait for {} already; try again later", here, quoted(model))
                             : fmt::format("{} requests wait already; try again later", queue_.wanting()),
                   {},
                   1});
  return true;
}

void ContextManager::Impl::wait(Waiter waiter) {
  check(!leases_.contains(waiter.id), "a request id was used twice");
  waiter.arrived = now_;
  const ModelId id = waiter.model;
  queue_.add(std::move(waiter));
  refresh_evictable(models_.at(id));
}

Waiter ContextManager::Impl::take(RequestId id) {
  Waiter waiter = queue_.take(id);
  refresh_evictable(models_.at(waiter.model));
  return waiter;
}

void ContextManager::Impl::reject(RequestId request, Error error) {
  actions_.emplace_back(Reject{request, std::move(error)});
}

void ContextManager::Impl::reject_draining(RequestId request) {
  reject(request, {ErrorCode::kDraining,
                   "the server is shutting down; try again once it is back",
                   {},
                   retry_seconds(drain_deadline_ - now_)});
}

void ContextManager::Impl::reject_wanting(Model& m, const Error& error) {
  while (!queue_.lines(m.id).leases.empty()) reject(take(queue_.lines(m.id).leases.begin()->second).id, error);
  reject_loads(m, UINT64_MAX, error);
}

void ContextManager::Impl::reject_loads(Model& m, std::uint64_t before_place, const Error& error) {
  while (!queue_.lines(m.id).loads.empty()) {
    const auto [place, id] = *queue_.lines(m.id).loads.begin();
    if (place >= before_place) return;
    reject(take(id).id, error);
  }
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

bool ContextManager::Impl::serve(Model& m, bool just_loaded) {
  if (m.state != ModelState::kHot || m.draining || m.outdated) return false;
  bool served = false;
  // Who came after an unload waits for the next load.
  const std::uint64_t end = queue_.lines(m.id).first_unload();
  while (!queue_.lines(m.id).loads.empty() && queue_.lines(m.id).loads.begin()->first < end) {
    answer_load(m, queue_.lines(m.id).loads.begin()->second, just_loaded);
    served = true;
  }
  while (!queue_.lines(m.id).leases.empty() && queue_.lines(m.id).leases.begin()->first < end) {
    const Waiter waiter = take(queue_.lines(m.id).leases.begin()->second);
    m.leases.emplace(waiter.id, false);
    leases_.emplace(waiter.id, Lease{m.id, *m.engine});
    cache_.use(m.id, now_);
    refresh_evictable(m);
    actions_.emplace_back(Grant{waiter.id, m.id, *m.engine, waiter.outcome, now_ - waiter.arrived});
    served = true;
  }
  return served;
}

void ContextManager::Impl::answer_load(Model& m, RequestId id, bool just_loaded) {
  const Waiter waiter = take(id);
  if (!waiter.preload) cache_.touch(m.id, now_);
  actions_.emplace_back(Done{.request = waiter.id,
                             .model = m.id,
                             .changed = just_loaded,
                             .took = now_ - waiter.arrived,
                             .evicted = just_loaded ? m.evicted : std::vector<ModelId>(),
                             .footprint = ledger_.held(*m.engine)});
}

}  // namespace minerva
