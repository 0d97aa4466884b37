// ContextManager: decides which models are in memory. It is the heart of Minerva, and pure: events in, actions out.
//
// It does no I/O, reads no clock and has no threads. The caller passes events with the current time to step(), carries
// out the returned actions in order, and calls step(TimerFired) no later than next_timer(). The same code therefore
// runs under the server, in an embedding program (examples/embed.cc) and in the seeded simulator (tests/sim/).
//
// What always holds, after every step (see check_invariants):
//   - the reservations of all engines never exceed the budget, nor what other programs leave of a device, and no more
//     than max_models engines are not parked. A limit may shrink, or an engine may turn out to hold more than was
//     thought; then idle models leave at once;
//   - memory is reserved before Spawn and Wake, and released at EngineParked and EngineExited, never earlier;
//   - a wake that a device refuses is not tried again before something has changed. Meanwhile other models leave that
//     device, or the model is stopped and loaded elsewhere;
//   - a victim is parked if that frees what is needed, and stopped otherwise; no request goes to a parked engine;
//   - a model with a lease, a loading model and a pinned model are never victims. Only force makes them victims, and it
//     first aborts their leases;
//   - at most one engine per model;
//   - a model is inspected and known to fit the whole budget before anything is evicted for it;
//   - each request is answered exactly once, with Grant, Done or Reject, or not at all after RequestCancelled; a lease
//     that was lost with its engine is answered once more;
//   - accepted requests = completed + failed + shed + cancelled + those that wait or hold a lease;
//   - after failures in a row a model rests; then one load and one request test it before other requests are let in;
//   - no request is granted after its deadline, and none gets a third engine.
//
// Fairness: the models that wait for room are served in the order of their oldest requests; a model of high priority
// has a head start. A busy victim drains once it has been hot for min_residency: new requests for it queue, so that
// steady traffic on one model cannot starve another. It drains earlier if a waiting request would otherwise pass its
// deadline. When a model becomes hot, all requests that wait for it are granted together. A model may start before its
// turn only if that takes nothing from the models before it. There are at most max_switches_per_second switches in any
// second.
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
  // At most `max_models` are resident at once (0: any number); the least recently used is evicted first.
  explicit ContextManager(std::size_t max_models);
  static ContextManager with_policy(std::size_t max_models, std::unique_ptr<EvictionPolicy> policy);
  ContextManager(ContextOptions options, std::unique_ptr<EvictionPolicy> policy);
  ~ContextManager();
  ContextManager(ContextManager&&) noexcept;
  ContextManager& operator=(ContextManager&&) noexcept;

  // The whole protocol. `now` never goes back. The caller carries out the returned actions in order.
  [[nodiscard]] std::vector<Action> step(TimePoint now, const Event& event);
  // When step(TimerFired) is due; nothing if no deadline is pending.
  std::optional<TimePoint> next_timer() const;

  // What LoadRequested{model} would do at `now`: it is tried on a copy of the state, O(models + waiting requests).
  // `footprint`: as inspected; of a resident one what its engine takes counts. Errors: kModelNotFound.
  Result<LoadPlan> plan_load(const ModelId& model, const Footprint& footprint, TimePoint now) const;

  // ---- views ----
  std::vector<ModelId> loaded_models() const;          // hot, in the order they became so
  std::vector<ModelView> models(TimePoint now) const;  // every known model, by id
  std::optional<ModelView> model(const ModelId& id, TimePoint now) const;
  Residency residency(const ModelId& id, TimePoint now) const;  // cold also if it is not known
  const CacheStats& cache_stats() const;
  double cache_hit_rate() const;  // percent
  std::string_view policy_name() const;
  Bytes memory_budget() const;                // of the host's memory
  Footprint budget() const;                   // of each pool, less what other programs have of it
  std::vector<PoolView> pools() const;        // the host's, then the devices', in the order of a Footprint
  Footprint reserved() const;                 // what all engines hold, in each pool
  Bytes reserved_memory() const;              // the same in the host's memory
  std::uint64_t estimated_memory_mb() const;  // the same, MiB, rounded
  bool has_memory_pressure() const;           // above 80 % of the budget, or the machine's memory is short
  bool under_pressure() const;                // the machine's memory is short
  std::size_t queued() const;                 // waiting inference requests in all
  const RequestCounts& request_counts() const;
  PredictionStats predictions() const;
  // The latest decisions, which say why things are as they are; oldest first, at most ContextOptions::kept_decisions.
  const std::deque<Decision>& decisions() const;
  // What is worth keeping for the ContextManager that takes this one's place: see HistoryRestored. A model that is
  // coming back is left out while it loads: if that load ends the process, the next process must not try it again and
  // again.
  History history() const;
  // What the last step changed, by model. A quarantine ends without a step, so the next step reports its end.
  const std::vector<ResidencyChange>& changes() const;
  // Whether a drain was requested and every engine is gone.
  bool drained() const;

  // Checks every invariant above, and aborts with the broken one (check.h). It is cheap enough for tests to call it
  // after each step.
  void check_invariants() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minerva
