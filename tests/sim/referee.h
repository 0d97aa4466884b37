// Referee: the simulator's independent idea of what ContextManager may do. It sees every event and every action, and
// calls broken() when one breaks a promise of context_manager.h.
//
// It is deliberately plain: it plans nothing, and only counts what an outsider can count (engines alive, the memory
// they hold, open requests, lookups, pins). Threading: one Referee per schedule.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include "context/state.h"
#include "minerva/context/context_manager.h"

namespace minerva::sim {

// A promise was broken; what() says which one.
class BrokenInvariant : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct SimEngine {
  ModelId model;
  Footprint footprint;
  TimePoint spawned{};
  TimePoint ready_since{};
  bool ready = false;
  bool can_park = false;
  bool outdated = false;  // the catalog has other settings for the model now
  bool stopped = false;
  bool killed = false;
  // The memory is on its way to the image, is there, or is on its way back.
  enum class Parking { kNo, kUnderWay, kParked, kWaking } parking = Parking::kNo;
  bool park_evicts = false;
  Bytes max_image{};  // of the park under way
  Bytes image{};
  Bytes cached{};                // in the page cache, as far as anybody was told
  Footprint hot_footprint{};     // what it holds when it is not parked
  Footprint parked_footprint{};  // and what it held before the wake under way
  bool dead = false;
  std::set<RequestId> leases{};
  unsigned slots_taken = 0;
  std::uint64_t grants = 0;
  bool counted_on = false;  // `grants` includes those before the restart
  bool served = false;      // it had a request since it became hot
  bool on_guess = false;    // nobody asked for its load or wake, nor for the model since then
  // It is on a guess, or was loaded for another reason: only the core knows.
  bool perhaps_on_guess = false;
  bool woken_on_guess = false;
  bool touched = false;  // used, or an explicit load was asked for

  bool resident() const { return ready && !stopped && !dead; }
  bool serving() const { return resident() && parking == Parking::kNo; }
  bool active() const { return parking != Parking::kParked; }
  bool may_be_granted() const { return serving() && !killed; }
};

struct SimRequest {
  enum class Kind { kLease, kLoad, kUnload, kPark, kPin };
  enum class Status { kOpen, kGranted, kClosed };
  Kind kind = Kind::kLease;
  Status status = Status::kOpen;
  ModelId model;
  TimePoint arrived{};
  TimePoint deadline = TimePoint::max();
  bool force = false;
  bool preload = false;
  bool looking = false;
  UserId caller{};
  unsigned slots = 0;
  std::size_t ahead = 0;  // how many requests for its model were open when it came, without those of the flooder
  TimePoint granted{};
  std::optional<CacheOutcome> outcome{};  // how it found its model when it came
  bool aborted = false;
  int engines_had = 0;  // how many grants it got: a request that was tried again has two
  std::optional<ErrorCode> rejected{};
  EngineId engine{};
};

// The caller who sends more requests at once than can be answered soon. The waits of others must not depend on these.
constexpr UserId kFlooder{1'000};

// How often each thing happened. A simulator that never reaches a case proves nothing about it.
using Coverage = std::map<std::string, std::uint64_t>;

class Referee {
 public:
  Referee(ContextManager& manager, const ContextOptions& options) : manager_(manager), options_(options) {}

  // Plays one event: the step, and then every check. Returns the actions for the world to carry out.
  std::vector<Action> step(TimePoint now, const Event& event);
  // From now on no lease may have waited longer than `bound`, plus once more `bound` for each request that came before
  // it and is not the flooder's. And none may be shed.
  void bound_waits(Duration bound) { wait_bound_ = bound; }
  // From now on a model may be evicted for another one only after it has served a request, so that two models cannot
  // evict each other without end.
  void demand_progress() { progress_demanded_ = true; }
  // The core's history, after a check of it.
  History history();
  // The process has ended, and with it all engines and connections. The core is a new one, with the options of the
  // start.
  void restarted(const ContextOptions& options);
  // Nothing will happen any more: no request may be open, and no lease held.
  void check_finished() const;

  const std::map<EngineId, SimEngine>& engines() const { return engines_; }
  const std::map<RequestId, SimRequest>& requests() const { return requests_; }
  std::size_t open_requests() const { return open_.size(); }
  std::size_t live_engines() const { return live_.size(); }
  const Coverage& coverage() const { return coverage_; }

 private:
  struct SimModel {
    bool known = false;
    bool eager = false;  // at any time so far
    bool pinned = false;
    bool pinned_by_catalog = false;
    Duration ttl{};
    Duration unload_ttl{};
    TimePoint last_active{};        // became hot, was granted or asked to load, or a lease ended
    bool was_removed = false;       // since its engine started
    bool returns = false;           // it was resident before the restart, and nothing says that it is not to come back
    bool was_resident = false;      // before the restart, or any earlier one
    std::uint64_t past_grants = 0;  // before the restart
    bool comes_back = false;        // its engine was stopped for its settings, and nobody wanted it out since
    std::uint64_t ticket = 0;       // the last Inspect
    std::optional<Footprint> inspected;  // the answer to it, until used
    std::optional<EngineId> live;        // at most one
    unsigned slots = 0;
    bool keeps_pages = false;
    bool perhaps_quick = false;  // a request for it may have taken less than 300 ms
    int deaths = 0;              // in a row, without a request served in between
    TimePoint last_death{};
  };

  // ---- referee_events.cc ----
  void note(const ModelAdded& event);
  void note(const ModelRemoved& event);
  void note(const LeaseRequested& event);
  void note(const LoadRequested& event);
  void note(const UnloadRequested& event);
  void note(const ParkRequested& event);
  void note(const PinRequested& event);
  void note(const RequestCancelled& event);
  void note(const LeaseReleased& event);
  void note(const LeaseLost& event);
  void note(const Inspected& event);
  void note(const EngineReady& event);
  void note(const EngineParked& event);
  void note(const ParkRefused& event);
  void note(const EngineWoken& event);
  void note(const WakeRefused& event);
  void note(const EngineExited& event);
  void note(const EngineStalled& /*event*/) {}
  void note(const FootprintMeasured& event);
  void note(const PressureChanged& event);
  void note(const DevicesChanged& event);
  void note(const OptionsChanged& event);
  void note(const HistoryRestored& event);
  void note(const ClearRequested& event);
  void note(const DrainRequested& event);
  void note(const TimerFired& /*event*/) {}
  void note_arrival(RequestId id, const ModelId& model);
  void note_ready(SimEngine& engine);
  void note_exit(EngineId id, SimEngine& engine);
  void note_parked(const EngineParked& event, SimEngine& engine);
  void note_woken(const EngineWoken& event, SimEngine& engine);
  Bytes cached_by_models() const;
  // A device had no room for an engine that needs that much more.
  void note_no_room(const Footprint& needs);

  // ---- referee.cc ----
  void open(RequestId id, SimRequest request);
  void close(RequestId id);
  // nullptr if the model is not resident.
  const SimEngine* resident(const ModelId& model) const;
  // Whether such a request is open. An empty `model` means any model.
  bool is_open(SimRequest::Kind kind, const ModelId& model, bool forced_only) const;
  bool is_wanted(const ModelId& model) const {
    return is_open(SimRequest::Kind::kLease, model, false) || is_open(SimRequest::Kind::kLoad, model, false);
  }

  // What models may have of each pool now.
  Footprint limit() const;
  // Whether other programs have a part of a device's budget, or seem to.
  bool devices_are_short() const { return !budget_of(options_).within(limit()); }

  // How many requests for the model are open, without those of the flooder.
  std::size_t count_ahead(const ModelId& model) const;

  // ---- referee_actions.cc ----
  void see(const Inspect& action);
  void see(const Spawn& action);
  void see(const Stop& action);
  void see(const Park& action);
  void see(const Wake& action);
  void see(const DropPages& action);
  void see(const ReadAhead& action);
  void see(const Kill& action);
  void check_stop_of_load(const Stop& action, const SimEngine& engine);
  void check_shrinking(const SimEngine& engine);
  void check_sent_elsewhere(const Stop& action, const SimEngine& engine);
  void check_eviction_for(const ModelId& claimant, const SimEngine& engine);
  void check_idle_stop(const Stop& action);
  void check_pages() const;
  void check_guess(SimEngine& engine);
  void check_victim(const SimEngine& victim, const ModelId& newcomer) const;
  void check_limits(const SimEngine* with, const Footprint& more);
  void check_residency(const ModelId& model, const ModelId& newcomer);
  void check_switches(const SimEngine& victim, const ModelId& newcomer);
  bool pin_was_lifted(const ModelId& model, const ModelId& newcomer) const;

  // ---- referee_answers.cc ----
  void see(const Grant& action);
  void check_slots(const SimRequest& request, const SimEngine& engine);
  void see(const Done& action);
  void see(const Reject& action);
  void see(const Abort& action);
  // A load that is about to be decided, and what the dry run says of it.
  struct LoadTrial {
    ModelId model;
    RequestId load;
    LoadPlan plan;
    bool decided = false;  // by this step, as it was inspected
  };
  std::optional<LoadTrial> try_load(const Event& event) const;
  void check_trial(const LoadTrial& trial, const std::vector<Action>& actions);

  // ---- referee_state.cc ----
  void check_state(const Event& event);
  void check_lookup(const LeaseRequested& event);
  void check_engine(EngineId id, SimEngine& engine);
  void check_pins();
  void check_guesses();
  void check_configuration();
  void check_changes();

  ContextManager& manager_;
  ContextOptions options_;
  TimePoint now_{};
  std::map<ModelId, SimModel> models_;
  std::map<EngineId, SimEngine> engines_;  // all engines so far
  std::set<EngineId> live_;
  std::map<RequestId, SimRequest> requests_;  // all requests so far
  std::set<RequestId> open_;
  std::multiset<TimePoint> deadlines_;  // of open leases and loads
  std::size_t open_wanting_ = 0;        // open leases and loads
  std::size_t open_forced_ = 0;
  bool force_seen_ = false;           // a forced call is open, or came in this step
  std::optional<RequestId> arrival_;  // the lease or load that this step is about
  bool queue_was_full_ = false;       // when that request came
  std::size_t open_leases_ = 0;
  std::size_t granted_ = 0;
  RequestCounts counts_;
  bool progress_demanded_ = false;
  bool draining_ = false;
  std::set<ModelId> switching_;     // models for which others left since they were last started
  std::deque<TimePoint> switches_;  // within the last second
  ModelId forced_out_;              // the model that this step's event forces out; empty if none
  bool pressure_ = false;
  bool clears_images_ = false;                    // in this step
  bool pressure_seen_ = false;                    // now, or in this step
  Footprint available_ = Footprint::unbounded();  // by the last DevicesChanged
  Footprint denied_ = Footprint::unbounded();     // beyond this, devices have had no room
  TimePoint denied_until_{};
  bool no_room_seen_ = false;  // in this step, by an engine that loaded
  Bytes displaced_;  // pages of models that the wake of this step displaced, and that nobody has given back yet
  TimePoint drain_deadline_{};
  std::map<ModelId, Residency> told_;  // the state of each model, by the changes so far
  CacheStats expected_;
  // nobody waited for the model that became ready, so only the core knows why it was loaded
  bool perhaps_preload_ = false;
  Duration wait_bound_ = Duration::max();
  Coverage coverage_;
};

[[noreturn]] void broken(const std::string& what);
void expect(bool condition, const char* what);

std::string to_text(const Event& event);
std::string to_text(const Action& action);

}  // namespace minerva::sim
