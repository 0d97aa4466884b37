// ContextManager: decides which models are in memory. The heart of Minerva, and pure: events in, actions out.
//
// It does no I/O, reads no clock and has no threads. The caller passes events with the current time to step(), carries
// out the returned actions in order, and calls step(TimerFired) no later than next_timer(). The same code therefore
// runs under the server, in an embedding program (examples/embed.cc) and in the seeded simulator (tests/sim/).
//
// What always holds, after every step (see check_invariants):
//   - the reservations of all engines never exceed the budget, nor the number of those that are not parked max_models
//     (unless a limit shrinks or an engine is found to hold more than was thought: then who is idle goes at once);
//   - memory is reserved before Spawn and Wake and released by EngineParked and EngineExited, never earlier;
//   - a victim is parked if that frees what is needed, and stopped otherwise; no request goes to a parked engine;
//   - a model with a lease, a loading one and a pinned one are never victims (force aside, and that aborts leases
//   first);
//   - at most one engine per model;
//   - a model is inspected and known to fit the whole budget before anything is evicted for it;
//   - each request is answered exactly once: Grant, Done or Reject, or nothing after RequestCancelled; a lease lost
//     with its engine is answered once more;
//   - accepted requests = completed + failed + shed + cancelled + those that wait or hold a lease;
//   - a model that failed in a row rests, and then one load and one request prove it before others are let in;
//   - no request is granted after its deadline, and none a third engine.
//
// Fairness: models that want in are served in the order of their oldest waiter, those of high priority a head start
// ahead. A victim that is busy drains (new requests for it queue) once it has been hot for min_residency, so that
// steady traffic on one model cannot starve another, or earlier if who waits would wait past his deadline; whatever
// waits for a model when it becomes hot is granted together. A later model may start earlier only if that takes nothing
// from those before it. There are no more switches in a second than max_switches_per_second.
//
// Threading: one thread. Ownership: owns its ModelCache.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "minerva/cache/model_cache.h"
#include "minerva/context/decision.h"
#include "minerva/context/history.h"
#include "minerva/context/types.h"

namespace minerva {

class ContextManager {
 public:
  // At most `max_models` resident at once (0: no such limit), evicting the least recently used.
  explicit ContextManager(std::size_t max_models);
  static ContextManager with_policy(std::size_t max_models, std::unique_ptr<EvictionPolicy> policy);
  ContextManager(ContextOptions options, std::unique_ptr<EvictionPolicy> policy);
  ~ContextManager();
  ContextManager(ContextManager&&) noexcept;
  ContextManager& operator=(ContextManager&&) noexcept;

  // The whole protocol. `now` never goes back. Returned actions are to be carried out in order.
  [[nodiscard]] std::vector<Action> step(TimePoint now, const Event& event);
  // When step(TimerFired) is due; nothing if no deadline is pending.
  std::optional<TimePoint> next_timer() const;

  // What LoadRequested{model} would do at `now`: it is tried on a copy of the state, O(models + waiting requests).
  // `footprint`: as inspected; of a resident one what its engine takes counts. Errors: kModelNotFound.
  Result<LoadPlan> plan_load(const ModelId& model, Bytes footprint, TimePoint now) const;

  // ---- views ----
  std::vector<ModelId> loaded_models() const;          // hot, in the order they became so
  std::vector<ModelView> models(TimePoint now) const;  // every known model, by id
  std::optional<ModelView> model(const ModelId& id, TimePoint now) const;
  Residency residency(const ModelId& id, TimePoint now) const;  // cold also if it is not known
  const CacheStats& cache_stats() const;
  double cache_hit_rate() const;  // percent
  std::string_view policy_name() const;
  Bytes memory_budget() const;
  Bytes reserved_memory() const;              // what all engines hold
  std::uint64_t estimated_memory_mb() const;  // the same, MiB, rounded
  bool has_memory_pressure() const;           // above 80 % of the budget, or the machine's memory is short
  bool under_pressure() const;                // the machine's memory is short
  std::size_t queued() const;                 // waiting inference requests in all
  const RequestCounts& request_counts() const;
  PredictionStats predictions() const;
  // Why things are as they are: the latest decisions, oldest first, at most ContextOptions::kept_decisions.
  const std::deque<Decision>& decisions() const;
  // What is worth keeping for another one that takes this one's place: see HistoryRestored. A model that is coming back
  // is left out while it loads: should that end the process, it is not tried again and again.
  History history() const;
  // What the last step changed, by model. That a quarantine ended, which takes no step, is told by the next one.
  const std::vector<ResidencyChange>& changes() const;
  // A drain was requested and every engine is gone.
  bool drained() const;

  // Checks every invariant above; aborts with the broken one (check.h). Cheap enough to call after each step in tests.
  void check_invariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minerva
