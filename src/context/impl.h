// ContextManager::Impl: the state of the core and what may happen to it. See context_manager.h for the protocol.
//
// What is known is the State (state.h); what is decided from it is plan() (plan.h, plan.cc), which a newcomer reads
// first. The functions here are the transitions, the only writers of the State. One subject a file:
//   context_manager.cc  the public face: step, constructors
//   events.cc           what each event changes by itself
//   answers.cc          waiting calls, and the answers to them
//   slots.cc            which of a hot model's waiting requests its engine gets, and when
//   engines.cc          the life of an engine: spawn, ready, stop, exit, failure
//   parking.cc          the life of a parked one: park, wake, idle times, what is given back under pressure and for
//                       one that wakes
//   predicting.cc       what is loaded before anybody asks for it
//   settle.cc           after each event: whatever follows from the new state
//   moves.cc            carrying out what plan() decided
//   dry_run.cc          what a load would do
//   history.cc          what outlives the process: given, taken, cleared, and who comes back
//   estimates.cc        how long things will take
//   views.cc            what others may see, and sentences about it
//   invariants.cc       what must hold after each step
// with the parts predictor.h (what is asked for next), prediction_score.h (whether that pays), ledger.h (memory),
// requests.h (waiting calls), victims.h (the smallest set that must leave), breaker.h (whether a model that failed is
// tried again), caller_turns.h (which caller is next).
//
// Threading: one thread.
#pragma once

#include <deque>
#include <string>
#include <vector>

#include "context/plan.h"
#include "context/prediction_score.h"
#include "context/predictor.h"
#include "context/state.h"
#include "context/words.h"
#include "minerva/context/context_manager.h"

namespace minerva {

class ContextManager::Impl {
 public:
  Impl(ContextOptions options, std::unique_ptr<EvictionPolicy> policy);
  // Starts from `state`, with no actions, decisions or changes yet.
  explicit Impl(const State& state) : state_(state) {}

  std::vector<Action> step(TimePoint now, const Event& event);
  std::optional<TimePoint> next_timer() const { return timer_; }

  Result<LoadPlan> plan_load(const ModelId& id, Footprint footprint, TimePoint now) const;
  std::vector<ModelView> models(TimePoint now) const;
  std::optional<ModelView> model(const ModelId& id, TimePoint now) const;
  std::vector<PoolView> pools() const;
  Residency residency(const ModelId& id, TimePoint now) const;
  const ModelCache& cache() const { return state_.cache; }
  const Ledger& ledger() const { return state_.ledger; }
  std::size_t queued() const { return state_.queue.leases(); }
  const RequestCounts& request_counts() const { return counts_; }
  const std::deque<Decision>& decisions() const { return decisions_; }
  History history() const;
  PredictionStats predictions() const;
  const std::vector<ResidencyChange>& changes() const { return changes_; }
  bool drained() const { return state_.draining && state_.engines.empty(); }
  bool under_pressure() const { return state_.pressure; }
  std::vector<ModelId> hot_models() const;
  void check_invariants() const;

 private:
  // ---- events.cc ----
  void on(const ModelAdded& event);
  void on(const ModelRemoved& event);
  void on(const LeaseRequested& event);
  void look(const LeaseRequested& event, Model& m);
  Error too_many_leases(const Model& m) const;
  void on(const LoadRequested& event);
  void on(const UnloadRequested& event);
  void on(const ParkRequested& event);
  void on(const PinRequested& event);
  void on(const RequestCancelled& event);
  void on(const LeaseReleased& event);
  void on(const LeaseLost& event);
  void on(const Inspected& event);
  void on(const EngineReady& event);
  void on(const EngineParked& event);
  void on(const ParkRefused& event);
  void on(const EngineWoken& event);
  void on(const WakeRefused& event);
  void on(const EngineExited& event);
  void on(const EngineStalled& event);
  void on(const FootprintMeasured& event);
  void on(const PressureChanged& event);
  void on(const DevicesChanged& event);
  void on(const OptionsChanged& event);
  void on(const HistoryRestored& event);
  void on(const ClearRequested& event);
  void on(const DrainRequested& event);
  void on(const TimerFired& event);
  // nullptr if the catalog does not have it.
  Model* find_known(const ModelId& id);

  // ---- answers.cc ----
  void wait(Waiter waiter);
  void reject(RequestId request, Error error);
  // The same for an inference request; also counts it.
  void reject_lease(RequestId request, Error error);
  void reject_waiter(const Waiter& waiter, Error error);
  Waiter take(RequestId id);
  void reject_wanting(Model& m, const Error& error);
  void reject_loads(Model& m, std::uint64_t before_place, const Error& error);
  void abort_leases(Model& m, const Error& error);
  // Makes the model leave by force: unpins it, and ends its leases and waiting calls. `how`: "unloaded", "parked".
  void force_out(Model& m, std::string_view how);
  void done_unchanged(RequestId request, const Model& m);
  void finish_unloads(Model& m);
  // Who asked first for its park or unload, in words: "by an operator".
  std::string asked_by(const RequestQueue::Line& line) const;
  void reject_parks(Model& m, const Error& error);
  void answer_load(Model& m, RequestId id, bool just_loaded);

  // ---- slots.cc ----
  void grant(Model& m, RequestId id);
  void give_back_slots(Model& m, const GrantedLease& lease);
  Error too_many_slots(const Model& m, unsigned slots) const;
  // Grants what can be granted to those who wait for a hot model. True if any call was answered.
  bool serve(Model& m, bool just_loaded);

  // ---- engines.cc ----
  void spawn(Model& m);
  void become_hot(Model& m);
  void stop(Model& m, std::string reason);
  // Stops the model to make room for `victim_of`, or if that is empty, to get within the limits. Counts as an eviction.
  void evict(Model& m, std::string reason, const ModelId& victim_of);
  void end_engine(Model& m, std::string reason, const ModelId& victim_of, bool evicted);
  void become_cold(Model& m);
  void record_failure(Model& m, const Error& reason, Breaker::Failure failure);
  void fail_load(Model& m, const Error& reason, Breaker::Failure failure);
  // Operators are told of the failed load; requests get one more engine.
  void answer_failed_load(Model& m, const Error& reason);
  // The model's engine died by itself; `m` is cold by now.
  void engine_died(Model& m, ModelState was, const Error& reason);
  void refresh_evictable(const Model& m);
  // The model holds more or less than before. Requires: resident.
  void refresh_entry(const Model& m);

  // ---- parking.cc ----
  // `victim_of`: the model for which it makes room; empty if there is none, or if it parks to get within the limits.
  void park(Model& m, std::string reason, const ModelId& victim_of, bool to_make_room);
  void become_parked(Model& m, const EngineParked& event);
  void stay_hot(Model& m, const Error& reason, Bytes image_wanted);
  // Whether its engine, which refused a park because it still works, is asked again. Counts the refusal.
  bool asks_again(Model& m) const;
  void wake(Model& m);
  void become_awake(Model& m, const EngineWoken& event);
  // Its wake was refused.
  void stay_parked(Model& m, const Error& reason);
  // A device had no room for a model that needs that much: nothing that needs as much fits there for a while. False: it
  // needs no device.
  bool deny(const Footprint& needs);
  void apply_limits();
  void advance_park(Model& m);
  void finish_parks(Model& m, bool changed);
  // Parks or stops the models that were idle for too long.
  void expire_idle();
  void note_ttl(const Model& m);
  // Memory outside of the budget is short: see PressureChanged.
  void give_back(Bytes short_by);
  // Parked models give back as much page cache as the model that woke displaces, so that the kernel takes it from no
  // other.
  void make_way(const EngineWoken& woken);
  Error cannot_park(const Model& m) const;
  Error memory_short_error(const Model& m) const;
  Error device_full_error(const Model& m) const;

  // ---- predicting.cc ----
  // Acts on guesses after the latest request. Guesses again once what it began has come to its end.
  void predict();
  bool may_be_guessed(const Model& m) const;
  void start_guess(Model& m, std::string reason);
  // These two count what became of a guess, if `m` is there on one: somebody wants the model; the model leaves.
  void guess_used(Model& m);
  void guess_wasted(Model& m);
  // A load or an engine that only a guess wanted has failed. The failure does not count against the model.
  void guess_failed(Model& m);
  void note_on_paper(const Model& m);
  void asked_on_paper(const ModelId& model);
  // What would have left by now.
  void check_paper();

  // ---- moves.cc ----
  // True if anybody was answered or given up, so that another round is due.
  bool carry_out(const std::vector<Move>& moves);
  bool carry_out(const Move& move);
  Model& model_of(const Model* planned);
  void start(Model& m);
  // The model no longer waits for room.
  void give_up(Model& m);
  // The model is too large.
  void refuse(Model& m);
  // The model is too large for what other programs leave of its device.
  void shed(Model& m);
  // Has the model's file read ahead while it waits for others to leave.
  void read_ahead(Model& m);
  void yield(Model& guess, const std::string& reason);
  void displace(Model& claimant, const Move& move);
  // The first model leaves for `claimant`, which counts as a switch.
  void begin_switch(Model& claimant);
  // `claimant`: nullptr to get within the limits.
  void make_room(const Leaver& leaver, const std::string& reason, Model* claimant);
  void stop_for_image(const std::vector<const Model*>& victims, const Model& parks);
  // When there is room on disk for the image of a model that is to be parked. Stops those that have to leave for it.
  ImageRoom::When make_image_room(const Model& m);
  // A model that may leave before all others; nullptr if there is none.
  Model* idle_guess();
  void withdraw(Model& guess, const std::string& reason);

  // ---- settle.cc ----
  void settle();
  // Answers the calls that waited until their deadlines.
  void expire_waiters();
  void expire();
  // True if the model is to be forgotten.
  bool advance(Model& m);
  void advance_unload(Model& m);
  void start_inspection(Model& m);
  void note_timer(TimePoint when);
  void arm_timer();

  // ---- dry_run.cc ----
  // An operator asks for `id`, and whatever that waits for comes to a good end at once. What is done meanwhile.
  std::vector<Action> try_load(const ModelId& id, const Footprint& footprint);
  class TrialLeavers;
  // Adds to `plan` who leaves, and how long it takes until they could serve again.
  void price(const TrialLeavers& leavers, LoadPlan& plan) const;

  // ---- history.cc ----
  // Starts the next one that comes back, if nothing is in its way.
  void bring_back();
  // The model is not to come back, and its preload is not wanted any more if nobody waits for it.
  static void let_go(Model& m);
  std::vector<ModelId> most_wanted_first() const;
  // The resident models leave with the process, and are to come back with the next one.
  void remember_residents();

  // ---- estimates.cc ----
  void learn_load_time(Model& m);
  void learn_wake_time(Model& m);
  void learn_service_time(Model& m, Duration took);

  // ---- decisions.cc ----
  Decision& decide(DecisionKind kind, const Model& m, std::string reason);
  // Adds to `error`, which is for lack of capacity, the number of the decision that explains it.
  Error refused(const Model& m, Error error);
  void decide_start(Model& m, DecisionKind kind);
  // Records that models leave for the claimant, will have to leave, or would have to but cannot.
  void decide_room(const Move& move);
  // "2 requests wait for it; it needs 44 MiB and 12 of 256 MiB are free"
  std::string wish(const Model& m) const;
  // "it needs 44 MiB and 12 of 256 MiB are free"
  std::string memory_wish(const Footprint& needs) const;

  // ---- views.cc ----
  void note_change(Model& m, Residency now);
  ModelView view(const Model& m, TimePoint now) const;
  // Says what holds memory now and is not idle: "\"a\" is serving 2 requests, \"b\" is pinned".
  std::string obstacles(const ModelId& claimant) const;
  std::string obstacle(const Model& m) const;
  Error too_large(const ModelId& id, const Footprint& footprint) const;
  Error no_room_for_load(const ModelId& id, const Footprint& footprint) const;
  Error queue_full(const Model& m) const;
  Error quarantined_error(const Model& m) const;
  Error draining_error() const;
  Error waited_too_long(const Waiter& waiter, const Model& m) const;

  State state_;
  RequestCounts counts_;
  std::deque<Decision> decisions_;  // the latest
  std::uint64_t last_decision_ = 0;
  std::uint64_t cause_ = 0;  // the decision that is being carried out
  // A guess that would have been acted on, had it been likely to pay.
  struct PaperGuess {
    ModelId model;
    Footprint needs;
  };
  Predictor predictor_;
  std::optional<UserId> asked_last_;  // whose next request is still to be thought of
  PredictionScore score_;
  PredictionStats guesses_;
  std::vector<PaperGuess> on_paper_;
  std::vector<Action> actions_;           // of the step under way
  std::vector<ResidencyChange> changes_;  // by the last step
  std::optional<TimePoint> timer_;
  std::optional<TimePoint> switch_possible_;  // somebody waits for it: for min_residency, or max_switches_per_second
};

}  // namespace minerva
