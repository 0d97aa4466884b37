// After each event: who is inspected, who loads, who leaves, who is granted.
//
// A planning pass is a function of the state. It walks the models that wait for room in the order of their oldest
// waiter and claims room for each, so that nobody is overtaken by one who would take something from him:
//   - what fits now and beside all earlier claims is spawned;
//   - what fits once the engines on their way out are gone waits for them;
//   - otherwise idle models are evicted, if that is enough;
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

void ContextManager::Impl::settle() {
  expire();
  // Each round beyond the first follows an answer to somebody who waited, so it ends.
  bool again = true;
  while (again) {
    again = false;
    for (auto it = models_.begin(); it != models_.end();) {
      const bool forget = advance(it->second);
      if (forget) --removed_models_;
      it = forget ? models_.erase(it) : std::next(it);
    }
    min_residency_ends_.reset();
    if (!draining_) {
      shrink_to_limits();
      again = plan();
    }
    for (auto& [id, m] : models_) again |= serve(m, /*just_loaded=*/false);
  }
  arm_timer();
}

bool ContextManager::Impl::at_rest() const {
  const bool all_hot = engines_.size() == cache_.size();
  return queue_.size() == 0 && all_hot && removed_models_ == 0 && !draining_ && ledger_.now().within();
}

// ---- time ----

void ContextManager::Impl::expire_waiters() {
  for (const RequestId id : queue_.expired(now_)) {
    const Waiter waiter = take(id);
    reject_waiter(waiter, waited_too_long(waiter, models_.at(waiter.model)));
  }
}

void ContextManager::Impl::expire() {
  expire_waiters();
  for (auto& [id, m] : models_) {
    if (m.state != ModelState::kLoading || now_ < after(m.spawned, options_.load_timeout)) continue;
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(options_.load_timeout).count();
    const Error error{ErrorCode::kEngineTimeout, fmt::format("{} was not ready to serve after {} s; its log says more "
                                                             "(`minerva logs`)",
                                                             quoted(id), seconds)};
    fail_load(m, error, Breaker::Failure::kLoad);
    stop(m, "it did not become ready in time");
  }
  if (draining_ && !drain_aborted_ && now_ >= drain_deadline_) {
    drain_aborted_ = true;
    for (auto& [id, m] : models_) {
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
  if (const auto deadline = queue_.next_deadline(); deadline && !planted_bug(PlantedBug::kDeadlineNotArmed)) {
    note_timer(*deadline);
  }
  if (min_residency_ends_) note_timer(*min_residency_ends_);
  if (draining_ && !drain_aborted_) note_timer(drain_deadline_);
  for (const auto& [id, m] : models_) {
    if (m.state == ModelState::kLoading) note_timer(after(m.spawned, options_.load_timeout));
  }
}

// ---- what a model does by itself ----

bool ContextManager::Impl::wanted(const Model& m) const { return m.eager || queue_.lines(m.id).wanting() > 0; }

bool ContextManager::Impl::leaving_anyway(const Model& m) const {
  return !m.known || draining_ || !queue_.lines(m.id).unloads.empty();
}

bool ContextManager::Impl::advance(Model& m) {
  const bool hot_and_free = m.state == ModelState::kHot && m.leases.empty();
  if ((draining_ || !m.known) && (hot_and_free || m.state == ModelState::kLoading)) {
    stop(m, draining_ ? "the server is shutting down" : "the model is no longer in the catalog");
  }
  if (!queue_.lines(m.id).unloads.empty()) advance_unload(m);
  if (m.outdated && (m.state == ModelState::kLoading || (m.state == ModelState::kHot && m.leases.empty()))) {
    stop(m, "its settings have changed");
    // It was wanted in memory, and still is.
    if (queue_.lines(m.id).unloads.empty()) m.eager = queue_.next_place();
  }
  if (m.preparing() && !wanted(m)) m.state = ModelState::kCold;
  if (m.state == ModelState::kCold && wanted(m)) start_inspection(m);
  return !m.known && m.state == ModelState::kCold && queue_.lines(m.id).empty();
}

void ContextManager::Impl::advance_unload(Model& m) {
  const std::uint64_t unload_place = queue_.lines(m.id).first_unload();
  const RequestQueue::Line& leases = queue_.lines(m.id).leases;
  // Who asked for it before the unload is served first, as long as it can be served.
  const bool owed = !leases.empty() && leases.begin()->first < unload_place;
  switch (m.state) {
    case ModelState::kStopping:
      return;
    case ModelState::kHot:
      if (m.leases.empty() && (m.draining || !owed)) stop(m, "unloaded by an operator");
      return;
    case ModelState::kCold:
    case ModelState::kInspecting:
    case ModelState::kWaitingForRoom:
    case ModelState::kLoading:
      break;
  }
  if (owed) return;
  m.eager.reset();
  reject_loads(m, unload_place,
               {ErrorCode::kConflict, fmt::format("{} was unloaded while loading; load it again", quoted(m.id))});
  if (m.state == ModelState::kLoading) {
    stop(m, "unloaded by an operator while loading");
  } else {
    finish_unloads(m);
  }
}

void ContextManager::Impl::start_inspection(Model& m) {
  m.state = ModelState::kInspecting;
  m.ticket = next_ticket_++;
  m.evicted.clear();
  actions_.emplace_back(Inspect{m.id, m.ticket});
}

// ---- room ----

void ContextManager::Impl::shrink_to_limits() {
  while (!ledger_.after_exits().within()) {
    const CacheEntry* entry = cache_.victim();
    if (entry == nullptr) return;
    evict(models_.at(entry->id), "evicted, as the memory budget or max_models is smaller now", {});
  }
}

bool ContextManager::Impl::forced(const Model& m) const {
  const RequestQueue::Line& loads = queue_.lines(m.id).loads;
  return std::any_of(loads.begin(), loads.end(), [&](const auto& w) { return queue_.find(w.second)->force; });
}

std::uint64_t ContextManager::Impl::place_in_line(const Model& m) const {
  return std::min(queue_.lines(m.id).oldest().value_or(UINT64_MAX), m.eager.value_or(UINT64_MAX));
}

bool ContextManager::Impl::plan() {
  struct Claim {
    bool forced;
    std::uint64_t place;
    Model* model;
  };
  std::vector<Claim> line;
  for (auto& [id, m] : models_) {
    const bool inspected = m.state == ModelState::kWaitingForRoom ||
                           (m.state == ModelState::kInspecting && planted_bug(PlantedBug::kEvictBeforeInspect));
    if (inspected) line.push_back({forced(m), place_in_line(m), &m});
  }
  // An operator who forces does not wait in line.
  std::sort(line.begin(), line.end(),
            [](const Claim& a, const Claim& b) { return a.forced != b.forced ? a.forced : a.place < b.place; });
  for (auto& [id, m] : models_) {
    m.was_draining = m.draining;
    m.draining = false;
    m.claimed = false;
  }
  Pass pass{ledger_.now(), ledger_.after_exits()};
  bool answered = false;
  for (const Claim& claim : line) answered |= place(*claim.model, pass);
  return answered;
}

bool ContextManager::Impl::place(Model& m, Pass& pass) {
  if (m.footprint > ledger_.budget()) {
    const Error error = too_large(m.id, m.footprint);
    m.eager.reset();
    m.last_failure = error;
    reject_wanting(m, error);
    m.state = ModelState::kCold;
    return true;
  }
  if (pass.now.fits(m.footprint) && pass.planned.fits(m.footprint)) {
    pass.now.take(m.footprint);
    pass.planned.take(m.footprint);
    spawn(m);
    return false;
  }
  if (queue_.lines(m.id).wanting() == 0) {
    // Nobody waits for an eager preload, so it takes nobody's place.
    m.eager.reset();
    m.state = ModelState::kCold;
    return true;
  }
  if (pass.planned.fits(m.footprint)) {
    pass.planned.take(m.footprint);
    return false;
  }
  Candidates candidates;
  if (pass.may_evict) add_idle_candidates(candidates);
  auto chosen = choose_victims(pass.planned, m.footprint, candidates.footprints);
  const bool force = forced(m);
  bool answered = false;
  if (!chosen && !force) {
    answered = !queue_.lines(m.id).loads.empty();
    if (answered) reject_loads(m, UINT64_MAX, no_room_for_load(m.id, m.footprint));
    if (queue_.lines(m.id).leases.empty()) {
      m.eager.reset();
      m.state = ModelState::kCold;
      return true;
    }
  }
  if (!chosen && pass.may_evict) {
    add_busy_candidates(m, force, candidates);
    chosen = choose_victims(pass.planned, m.footprint, candidates.footprints);
  }
  if (chosen) {
    displace(m, force, candidates, *chosen, pass);
  } else if (force || !never_fits_beside_pinned(m)) {
    pass.planned.take(m.footprint);
    pass.may_evict = false;
  }
  return answered;
}

void ContextManager::Impl::Candidates::add(Model& m, Bytes footprint) {
  models.push_back(&m);
  footprints.push_back(footprint);
}

void ContextManager::Impl::add_idle_candidates(Candidates& candidates) {
  cache_.visit_victims([&](const CacheEntry& entry) {
    Model& m = models_.at(entry.id);
    if (!m.claimed) candidates.add(m, entry.footprint);
    return true;
  });
  candidates.ready = candidates.models.size();
}

void ContextManager::Impl::add_busy_candidates(const Model& claimant, bool forced, Candidates& candidates) {
  std::vector<Model*> now;
  std::vector<Model*> pinned;
  std::vector<Model*> later;
  const std::uint64_t claimant_place = place_in_line(claimant);
  for (auto& [id, m] : models_) {
    if (m.claimed || !m.engine || m.state == ModelState::kStopping) continue;
    if (m.state == ModelState::kLoading) {
      if (!m.pinned || forced) later.push_back(&m);
    } else if (m.pinned) {
      if (forced) pinned.push_back(&m);
    } else if (!idle(m)) {
      const bool older_waiters = queue_.lines(id).oldest().value_or(UINT64_MAX) < claimant_place;
      const bool must_go = forced || leaving_anyway(m);
      if (older_waiters && !must_go) continue;  // they are about to be served
      const bool settled = must_go || now_ >= after(m.hot_since, options_.min_residency);
      (settled && !planted_bug(PlantedBug::kBusyNeverDrains) ? now : later).push_back(&m);
    }
  }
  const auto by_rank = [&](const Model* a, const Model* b) {
    if (a->was_draining != b->was_draining) return a->was_draining;
    return cache_.rank(a->id) < cache_.rank(b->id);
  };
  std::sort(now.begin(), now.end(), by_rank);
  std::sort(pinned.begin(), pinned.end(), by_rank);
  for (const auto* group : {&now, &pinned, &later}) {
    for (Model* m : *group) candidates.add(*m, ledger_.held(*m->engine));
    if (group != &later) candidates.ready = candidates.models.size();
  }
}

void ContextManager::Impl::displace(Model& claimant, bool forced, const Candidates& candidates,
                                    const std::vector<std::size_t>& chosen, Pass& pass) {
  bool all_ready = true;
  bool all_free = true;
  for (const std::size_t i : chosen) {
    Model& m = *candidates.models[i];
    m.claimed = true;
    pass.planned.give_back(candidates.footprints[i]);
    all_ready &= i < candidates.ready;
    all_free &= m.leases.empty();
    const TimePoint settled = after(m.hot_since, options_.min_residency);
    if (m.state == ModelState::kHot && settled > now_) {
      min_residency_ends_ = std::min(min_residency_ends_.value_or(settled), settled);
    }
  }
  pass.planned.take(claimant.footprint);
  if (!all_ready) {
    pass.may_evict = false;
    return;
  }
  for (const std::size_t i : chosen) {
    Model& m = *candidates.models[i];
    if (forced) {
      m.pinned = false;
      abort_leases(
          m, {ErrorCode::kNoCapacity,
              fmt::format("cancelled: the model was unloaded by an operator to make room for {}", quoted(claimant.id)),
              {},
              1});
    }
    if (all_free) {
      claimant.evicted.push_back(m.id);
      evict(m, fmt::format("evicted to make room for {}", quoted(claimant.id)), claimant.id);
    } else {
      // Who is idle may go on serving until the last one is free, except if that would only be aborted.
      m.draining = forced || !idle(m);
      refresh_evictable(m);
    }
  }
  if (!all_free) pass.may_evict = false;
}

bool ContextManager::Impl::never_fits_beside_pinned(const Model& m) const {
  Room room{ledger_.budget(), ledger_.max_models(), Bytes(), 0};
  for (const auto& [id, other] : models_) {
    const bool stays = other.pinned && (other.state == ModelState::kLoading || other.state == ModelState::kHot);
    if (stays) room.take(ledger_.held(*other.engine));
  }
  return !room.fits(m.footprint);
}

}  // namespace minerva
