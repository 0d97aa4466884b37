// The life of an engine, as the core sees it. Memory is reserved at spawn() and comes back in become_cold(), when the
// process has been reaped. In between, the model has no other engine.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "context/impl.h"
#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {

void ContextManager::Impl::spawn(Model& m) {
  check(m.state() == ModelState::kWaitingForRoom || planted_bug(PlantedBug::kEvictBeforeInspect),
        "a model is spawned that does not wait for room");
  decide_start(m, DecisionKind::kLoad);
  if (m.guess && state_.queue.lines(m.id).wanting() > 0) {  // a request came meanwhile
    m.guess.reset();
    m.eager.reset();
  }
  if (m.guess) ++guesses_.made;
  const EngineId engine{state_.next_engine++};
  state_.ledger.reserve(engine, m.footprint);
  state_.engines.emplace(engine, m.id);
  m.phase = phase::Loading{state_.now};
  m.engine = engine;
  actions_.emplace_back(Spawn{engine, m.id, m.footprint});
}

void ContextManager::Impl::become_hot(Model& m) {
  const RequestQueue::Lines& lines = state_.queue.lines(m.id);
  const bool only_preloads =
      lines.leases.empty() && std::all_of(lines.loads.begin(), lines.loads.end(), [&](const auto& waiting) {
        return state_.queue.find(waiting.second)->preload;
      });
  const bool preloaded = only_preloads && (m.eager || !lines.loads.empty());
  learn_load_time(m);
  m.phase = phase::Hot();
  m.run.hot_since = state_.now;
  m.eager.reset();
  m.failed_on_guess = false;
  m.read_on_guess = false;
  m.breaker.loaded();
  if (m.breaker.failures() == 0) m.last_failure.reset();
  state_.cache.insert(m.id, m.footprint.total(), state_.now, preloaded);
  if (m.past) state_.cache.resume(m.id, *std::exchange(m.past, std::nullopt));
  if (preloaded) state_.cache.count_preload();
  serve(m, /*just_loaded=*/true);
  refresh_entry(m);
}

void ContextManager::Impl::stop(Model& m, std::string reason) {
  if (m.resident()) state_.cache.remove(m.id, /*evicted=*/false);
  end_engine(m, std::move(reason), {}, /*evicted=*/false);
}

void ContextManager::Impl::evict(Model& m, std::string reason, const ModelId& victim_of) {
  check(m.state() == ModelState::kHot || m.state() == ModelState::kParked,
        "a model is evicted that is not hot or parked");
  check(!m.pinned, "a pinned model is evicted");
  state_.cache.remove(m.id, /*evicted=*/true);
  end_engine(m, std::move(reason), victim_of, /*evicted=*/true);
}

void ContextManager::Impl::end_engine(Model& m, std::string reason, const ModelId& victim_of, bool evicted) {
  check(m.resident() || m.state() == ModelState::kLoading, "only a living engine can be stopped");
  check(m.leases.empty(), "an engine is stopped that holds a lease");
  m.phase = phase::Stopping();
  m.draining = false;
  m.eager.reset();
  guess_wasted(m);
  if (planted_bug(PlantedBug::kReleaseBeforeReap)) {
    state_.ledger.release(*m.engine);
  } else {
    state_.ledger.mark_leaving(*m.engine, /*stays=*/Footprint());
  }
  decide(DecisionKind::kStop, m, reason);
  // From now on an unload only waits for the exit, which always comes.
  for (const auto& [place, id] : state_.queue.lines(m.id).unloads) state_.queue.clear_deadline(id);
  actions_.emplace_back(Stop{*m.engine, m.id, std::move(reason), victim_of, evicted});
}

void ContextManager::Impl::become_cold(Model& m) {
  if (m.resident()) state_.cache.remove(m.id, /*evicted=*/false);
  guess_wasted(m);
  if (!planted_bug(PlantedBug::kReleaseBeforeReap) || state_.ledger.holds(*m.engine)) state_.ledger.release(*m.engine);
  state_.engines.erase(*m.engine);
  m.phase = phase::Cold();
  m.engine.reset();
  m.run = {};  // an image that would not fit is forgotten with its conversations
  // The model no longer has the leases of a dead engine. Their LeaseReleased events are still to come.
  m.leases.clear();
  m.slots_taken = 0;
  m.draining = false;
  reject_parks(m, {ErrorCode::kConflict, fmt::format("{} is not loaded any more", in_quotes(m.id))});
}

void ContextManager::Impl::record_failure(Model& m, const Error& reason, Breaker::Failure failure) {
  m.last_failure = reason;
  // Each model has its own jitter, and the same one when the schedule is played again.
  const Breaker::Backoff backoff{state_.options.quarantine_first, state_.options.quarantine_max,
                                 state_.options.jitter_seed ^ std::hash<ModelId>()(m.id)};
  m.breaker.failed(failure, state_.now, backoff);
}

void ContextManager::Impl::fail_load(Model& m, const Error& reason, Breaker::Failure failure) {
  let_go(m);
  record_failure(m, reason, failure);
  if (planted_bug(PlantedBug::kWaiterForgotten)) {
    while (!state_.queue.lines(m.id).leases.empty()) take(state_.queue.lines(m.id).leases.begin()->second);
  }
  answer_failed_load(m, reason);
}

void ContextManager::Impl::answer_failed_load(Model& m, const Error& reason) {
  reject_loads(m, UINT64_MAX, reason);
  std::vector<RequestId> waiting;
  for (const auto& [place, id] : state_.queue.lines(m.id).leases) waiting.push_back(id);
  for (const RequestId id : waiting) {
    if (m.breaker.open(state_.now) || state_.queue.find(id)->retried) {
      reject_waiter(take(id), reason);
    } else {
      state_.queue.mark_retried(id);
    }
  }
}

void ContextManager::Impl::engine_died(Model& m, ModelState was, const Error& reason) {
  if (was == ModelState::kLoading && reason.code == ErrorCode::kNoCapacity) {
    // The model is not to blame. Its next engine is placed where there is room.
    let_go(m);
    deny(m.footprint);
    answer_failed_load(m, device_full_error(m));
  } else if (was == ModelState::kLoading) {
    const bool bad_luck = reason.code == ErrorCode::kEngineCrashed || reason.code == ErrorCode::kEngineTimeout;
    fail_load(m, reason, bad_luck ? Breaker::Failure::kCrash : Breaker::Failure::kLoad);
  } else if (was != ModelState::kStopping) {
    // The waiting requests get a fresh engine, unless the engine dies again and again.
    m.past.reset();
    record_failure(m, reason, Breaker::Failure::kRequest);
    if (m.breaker.open(state_.now)) reject_wanting(m, reason);
  }
}

void ContextManager::Impl::refresh_evictable(const Model& m) {
  if (m.resident()) state_.cache.set_evictable(m.id, state_.idle(m));
}

void ContextManager::Impl::refresh_entry(const Model& m) {
  state_.cache.update(m.id, state_.ledger.held(*m.engine).total(), state_.reload_cost(m),
                      m.state() == ModelState::kParked);
  refresh_evictable(m);
}

}  // namespace minerva
