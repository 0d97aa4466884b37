// State: everything from which the core decides, as plain data, and the questions that can be answered from it.
//
// A State is a value: a copy of it is a world in which something can be tried (dry_run.cc). No function in here changes
// anything. Only the transitions write it, which are the functions of ContextManager::Impl (impl.h); plan() (plan.h)
// gets the State const. There is no clock: `now` is the time of the event that is being handled.
//
// Threading: one thread.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>

#include "context/ledger.h"
#include "context/model.h"
#include "context/requests.h"
#include "minerva/cache/model_cache.h"
#include "minerva/context/types.h"

namespace minerva {

// A request that was granted and has not ended.
struct GrantedLease {
  ModelId model;
  EngineId engine;
  TimePoint granted;
  CacheOutcome outcome;
  bool retried;          // this is its second engine
  bool looking = false;  // no use of the model
  UserId caller{};
  unsigned slots = 0;
  Duration estimate{};  // of the time it takes, as it counted for its caller's turn
};

// Of all pools.
Footprint budget_of(const ContextOptions& options);

struct State {
  State(const ContextOptions& options, std::unique_ptr<EvictionPolicy> policy);

  ContextOptions options;
  ModelCache cache;
  Ledger ledger;
  RequestQueue queue;
  std::map<ModelId, Model> models;
  std::map<EngineId, ModelId> engines;  // those alive
  std::unordered_map<RequestId, GrantedLease> leases;
  std::size_t removed_models = 0;                // in `models`, but no longer in the catalog
  std::deque<ModelId> coming_back;               // those that are to, or were; the first one may be under way
  std::optional<Duration> load_time_of_any;      // moving average
  std::deque<TimePoint> switches;                // in which models left for another one, of the last second
  bool pressure = false;                         // memory outside of the budget is short
  Footprint available = Footprint::unbounded();  // what other programs leave of each device
  // A device had no room for a model, although nobody said so before. Until `until`, models may have `limit` at most.
  struct Denial {
    Footprint limit;
    TimePoint until{};
  };
  std::optional<Denial> denial;
  bool draining = false;
  bool drain_aborted = false;
  TimePoint drain_deadline{};
  TimePoint now{};
  std::uint64_t next_ticket = 1;
  std::uint64_t next_engine = 1;

  // ---- pools (state.cc) ----
  // What models may have of each pool by the options, and what they may have now.
  Footprint budget() const { return budget_of(options); }
  Footprint limit() const;

  // ---- a model (state.cc) ----
  // nullptr if the catalog does not have it.
  const Model* find_known(const ModelId& id) const;
  // Whether a request, an operator or the catalog wants the model in memory.
  bool wanted(const Model& m) const;
  // Whether it waits for room to be loaded or woken.
  bool waits_for_room(const Model& m) const;
  // Whether it is hot or parked, nothing holds or wants it, and nothing protects it.
  bool idle(const Model& m) const;
  // Whether it leaves even if no other model needs its room.
  bool leaving_anyway(const Model& m) const;
  // Whether an operator forces its load.
  bool forced(const Model& m) const { return forced(queue.lines(m.id)); }
  bool forced(const RequestQueue::Lines& lines) const;
  // Whether it comes back after a restart while nobody waits for it.
  bool comes_back_unasked(const Model& m) const;
  // Whether it is resident only on a guess: nobody had it in memory before.
  static bool only_guessed(const Model& m) { return m.guess && !m.guess->woken; }
  // What it needs beyond what it holds: all of its footprint if it is cold.
  Footprint lacking(const Model& m) const;
  // When it was used last, or became hot.
  TimePoint idle_since(const Model& m) const;
  static Residency residency(const Model& m, TimePoint now);

  // ---- turns among models (state.cc) ----
  // The turn of the model's first waiting call. A preload that nobody waits for comes after all others.
  RequestQueue::Turn turn(const Model& m) const { return turn(m, queue.lines(m.id)); }
  static RequestQueue::Turn turn(const Model& m, const RequestQueue::Lines& lines);
  // The same without the loads.
  RequestQueue::Turn turn_of_leases(const Model& m) const;
  // When a busy model may be drained for `claimant`.
  TimePoint residency_ends(const Model& m, const Model& claimant) const;
  // By how much a request of this priority counts as later than its arrival.
  Duration head_start(Priority priority) const;
  bool queue_is_full(const Model& m) const;

  // ---- parking (state.cc) ----
  // Whether it may be parked now: parking is allowed, its engine can park and is not being killed, and did not refuse a
  // park just now.
  bool parkable(const Model& m) const;
  // What it will keep when it is parked: as last time, or a guess.
  Footprint expected_residue(const Model& m) const;
  static Footprint expected_residue(const Model& m, const Footprint& held);
  // How large its image may become.
  Bytes image_room(const Model& m) const;

  // ---- all of them (state.cc) ----
  // Whether nobody waits and nothing is going on, so that a lease on a hot model changes nothing for any other. This is
  // the common case, which should not cost a walk over all models.
  bool at_rest() const;
  // Whether no model is between two states, has to leave, or comes back: then there is time for guesses.
  bool no_model_moves() const;

  // ---- slots (slots.cc) ----
  // Whether its breaker is half open and one request tries it. Other requests wait until that one has ended.
  bool is_being_tried(const Model& m) const;
  // Whether its engine takes a request of this many slots at once.
  static bool takes(const Model& m, unsigned slots);
  // Whether the request wants more slots than the model's engine has.
  static bool is_too_wide(const Model& m, unsigned slots);
  // The request that gets the next slot, among those that came before `end`; nullptr if none waits.
  const Waiter* next_in_line(const Model& m, std::uint64_t end) const;
  // Whether a request of this many slots that comes now has to wait.
  bool must_wait(const Model& m, unsigned slots) const;
  // Whether the model is hot and a request that waits for it can be granted at once.
  bool can_grant(const Model& m) const;
  // Whether it has more leases than slots.
  bool has_too_many_leases(const Model& m) const;

  // ---- estimates (estimates.cc) ----
  // As its loads took before; if there were none, a guess from the loads of other models.
  Duration usual_load_time(const Model& m) const;
  static Duration usual_wake_time(const Model& m);
  // How long a load of `m` takes, or a wake if it is parked or will be.
  Duration guess_load_time(const Model& m) const;
  // How long it takes to have it back after it made room: a wake if it would be parked, a load otherwise.
  Duration reload_cost(const Model& m) const;
  // How long it takes until it is hot, if its load was asked for now and there is room; nothing if it never was loaded.
  std::optional<Duration> expected_time(const Model& m) const;
  // How long a request for `m` that comes now will wait, as far as can be told.
  Duration expected_wait(const Model& m) const;
};

// now + span, or the end of time.
TimePoint after(TimePoint now, Duration span);

}  // namespace minerva
