// Referee: the simulator's own, independent idea of what ContextManager may do. It sees every event and every action
// and calls broken() for whatever breaks a promise of context_manager.h.
//
// It is deliberately plain: no planning, only what an outsider can count (engines alive, memory they hold, requests
// open, lookups, pins). Threading: one per schedule.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>

#include "minerva/context/context_manager.h"

namespace minerva::sim {

// A promise was broken. what(): which.
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
  bool outdated = false;  // its settings are not the catalog's any more
  bool stopped = false;
  bool killed = false;
  // Its memory is on its way to the image, or there, or on its way back.
  enum class Parking { kNo, kUnderWay, kParked, kWaking } parking = Parking::kNo;
  bool park_evicts = false;
  Bytes max_image{};  // of the park under way
  Bytes image{};
  Bytes cached{};             // in the page cache, as far as anybody was told
  Footprint hot_footprint{};  // what it holds when it is not parked
  bool dead = false;
  std::set<RequestId> leases{};
  unsigned slots_taken = 0;
  std::uint64_t grants = 0;
  bool counted_on = false;  // `grants` are those before the restart too
  bool served = false;      // somebody, since it became hot
  bool on_guess = false;    // nobody asked for its load or wake, nor for the model since
  // The same, or it was to be loaded for another reason: only the core knows.
  bool perhaps_on_guess = false;
  bool woken_on_guess = false;
  bool touched = false;  // used, or asked to be loaded

  bool resident() const { return ready && !stopped && !dead; }
  bool serving() const { return resident() && parking == Parking::kNo; }
  bool has_slot() const { return parking != Parking::kParked; }
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
  std::size_t ahead = 0;  // requests for its model that were open when it came, but for the flood
  TimePoint granted{};
  std::optional<CacheOutcome> outcome{};  // as it was found at its arrival
  bool aborted = false;
  int engines_had = 0;  // grants: a retried request has two
  std::optional<ErrorCode> rejected{};
  EngineId engine{};
};

// The caller who sends more requests at once than are answered soon. What others wait does not depend on them.
constexpr UserId kFlooder{1'000};

// How often each thing happened: a simulator that never reaches a case proves nothing about it.
using Coverage = std::map<std::string, std::uint64_t>;

class Referee {
 public:
  Referee(ContextManager& manager, const ContextOptions& options) : manager_(manager), options_(options) {}

  // One event, carried through: step, then every check. Returns the actions for the world to carry out.
  std::vector<Action> step(TimePoint now, const Event& event);
  // From now on no lease may have waited longer than this, and once more so long for each request that was there before
  // it and is not the flooder's; nor be shed.
  void bound_waits(Duration bound) { wait_bound_ = bound; }
  // From now on a model is only evicted for another after it served somebody, so that two cannot evict each other
  // without end.
  void demand_progress() { progress_demanded_ = true; }
  // What the core wants kept, after a look at it.
  History history();
  // The process ended, and with it all engines and connections: the core is a new one, with the first options.
  void restarted(const ContextOptions& options);
  // Nothing is left to happen: nothing may be open, nor a lease held.
  void check_finished() const;

  const std::map<EngineId, SimEngine>& engines() const { return engines_; }
  const std::map<RequestId, SimRequest>& requests() const { return requests_; }
  std::size_t open_requests() const { return open_.size(); }
  std::size_t live_engines() const { return live_.size(); }
  const Coverage& coverage() const { return coverage_; }

 private:
  struct SimModel {
    bool known = false;
    bool eager = false;  // ever
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
    bool perhaps_quick = false;  // some request of it may have taken less than 300 ms
    int deaths = 0;              // in a row, by itself, with nothing served in between
    TimePoint last_death{};
  };

  void note(const Event& event);
  void note_added(const ModelAdded& event);
  void note_arrival(RequestId id, const ModelId& model);
  void note_ready(SimEngine& engine);
  void note_exit(EngineId id, SimEngine& engine);
  void note_lost(const LeaseLost& event);
  void note_options(const ContextOptions& options);
  void note_restored(const HistoryRestored& event);
  void note_cleared(const ClearRequested& event);
  void end_lease(const LeaseReleased& event);
  void open(RequestId id, SimRequest request);
  void close(RequestId id);
  // nullptr if it is not resident.
  const SimEngine* resident(const ModelId& model) const;
  void note_parked(const EngineParked& event, SimEngine& engine);
  void note_woken(const EngineWoken& event, SimEngine& engine);
  Bytes cached_by_models() const;
  void check_pages() const;
  // An empty `model`: any.
  bool is_open(SimRequest::Kind kind, const ModelId& model, bool forced_only) const;
  bool is_wanted(const ModelId& model) const {
    return is_open(SimRequest::Kind::kLease, model, false) || is_open(SimRequest::Kind::kLoad, model, false);
  }

  void see(const Inspect& action);
  void see(const Spawn& action);
  void see(const Stop& action);
  void see(const Park& action);
  void see(const Wake& action);
  void see(const DropPages& action);
  void see(const ReadAhead& action);
  void see(const Kill& action);
  void check_guess(SimEngine& engine);
  void check_victim(const SimEngine& victim, const ModelId& newcomer) const;
  void check_guesses();
  void check_limits(const SimEngine* with, const Footprint& more);
  void check_residency(const ModelId& model, const ModelId& newcomer);
  void check_switches(const SimEngine& victim, const ModelId& newcomer);
  bool pin_was_lifted(const ModelId& model, const ModelId& newcomer) const;
  void see(const Grant& action);
  void check_slots(const SimRequest& request, const SimEngine& engine);
  // Requests for it that are open and not the flooder's.
  std::size_t count_ahead(const ModelId& model) const;
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
  void check_state(const Event& event);
  void check_configuration();
  void check_changes();

  ContextManager& manager_;
  ContextOptions options_;
  TimePoint now_{};
  std::map<ModelId, SimModel> models_;
  std::map<EngineId, SimEngine> engines_;  // all ever
  std::set<EngineId> live_;
  std::map<RequestId, SimRequest> requests_;  // all ever
  std::set<RequestId> open_;
  std::multiset<TimePoint> deadlines_;  // of open leases and loads
  std::size_t open_wanting_ = 0;        // open leases and loads
  std::size_t open_forced_ = 0;
  bool force_seen_ = false;           // an open forced call, or one in the step under way
  std::optional<RequestId> arrival_;  // the lease or load that the step under way is about
  bool queue_was_full_ = false;       // when it came
  std::size_t open_leases_ = 0;
  std::size_t granted_ = 0;
  RequestCounts counts_;
  bool progress_demanded_ = false;
  bool draining_ = false;
  std::set<ModelId> switching_;     // others left for it since it was started last
  std::deque<TimePoint> switches_;  // of the last second
  ModelId forced_out_;              // by the event of the step under way; empty if none
  bool pressure_ = false;
  bool clears_images_ = false;  // the step under way
  bool pressure_seen_ = false;  // now, or in the step under way
  Bytes displaced_;  // of models' pages, by the one that woke in the step under way, and given back by nobody yet
  TimePoint drain_deadline_{};
  std::map<ModelId, Residency> told_;  // as the changes told so far say
  CacheStats expected_;
  bool perhaps_preload_ = false;  // nobody waited for what became ready, so only the core knows
  Duration wait_bound_ = Duration::max();
  Coverage coverage_;
};

[[noreturn]] void broken(const std::string& what);
void expect(bool condition, const char* what);

std::string to_text(const Event& event);
std::string to_text(const Action& action);

}  // namespace minerva::sim
