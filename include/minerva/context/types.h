// What ContextManager and its caller exchange: events in, actions out. Plain values.
//
// Threading: none of its own. See context_manager.h for the protocol.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"
#include "minerva/context/history.h"

namespace minerva {

// When a model of the catalog is loaded.
enum class PreloadStrategy {
  kEager,      // at start
  kLazy,       // on first use
  kScheduled,  // at set times, by a LoadRequested each; to the core the same as kLazy
};

// Where a model is in its life. kPreparing and kQuarantined hold no memory. Resident are kHot and kParked, and what is
// between the two.
enum class Residency {
  kCold,         // no process
  kPreparing,    // wanted: being inspected, or waiting for room
  kLoading,      // the process is starting; memory is reserved
  kHot,          // can serve
  kParking,      // its memory is on its way out to an image on disk; all of it is still counted
  kParked,       // its process lives, with its conversations in the image; what is left in memory is counted
  kWaking,       // on its way back; its memory is reserved again
  kStopping,     // on its way out; its memory is still counted
  kQuarantined,  // failed recently: not tried again before the backoff ends (its breaker is open)
};
// "cold", "preparing", "loading", "hot", "parking", "parked", "waking", "stopping", "quarantined": the `state` of every
// answer.
std::string_view residency_name(Residency residency);

// Whether a model that failed is tried again: closed, as usual; open, not before the backoff ends; half open, by one
// load and then one request, and the others wait until that one has proved it.
enum class BreakerState { kClosed, kOpen, kHalfOpen };
// "closed", "open", "half_open".
std::string_view breaker_state_name(BreakerState state);

// How an inference request found its model.
enum class CacheOutcome {
  kHit,     // hot
  kParked,  // resident, but it had to be woken: counted as a hit
  kMiss,    // not resident
};

// How a lease ended.
enum class LeaseEnd {
  kCompleted,  // the engine answered, be it with an error: forgives earlier failures of the model
  kFailed,     // the answer broke off, or there was none
  kCancelled,  // its client went away
};

// What parked models may hold.
struct ParkingLimits {
  bool enabled = true;               // false: nothing is parked any more, but stopped
  Bytes memory = Bytes(UINT64_MAX);  // of their residues together, within the budget
  Bytes images = Bytes(UINT64_MAX);  // of all images together, those of hot models too, on disk
};

// Whose turn comes first among those that wait for room: see ContextOptions::head_start.
enum class Priority { kLow, kNormal, kHigh };
// "low", "normal", "high".
std::string_view priority_name(Priority priority);
// Nothing if it is none of these.
std::optional<Priority> parse_priority(std::string_view name);

// Who asks.
struct Caller {
  UserId user{};
  Priority priority = Priority::kNormal;
  bool operator==(const Caller&) const = default;
};

// What is done about models that are likely to be asked for next. Only while nobody waits and nothing else is going on.
struct PredictionOptions {
  bool preload = false;     // they are loaded, or woken, where that takes no room from anybody
  bool read_ahead = false;  // their files are, where they are not loaded
};

// ---- configuration ------------------------------------------------------------------------------------------------

struct ContextOptions {
  std::size_t max_models = 0;               // 0: bounded by memory only
  Bytes memory_budget = Bytes(UINT64_MAX);  // of all reservations together
  ParkingLimits parking{};
  PredictionOptions prediction{};
  std::size_t max_queue_per_model = 128;             // waiting requests
  std::size_t max_queue = 1024;                      // waiting requests in all
  Duration load_timeout = std::chrono::minutes(10);  // Spawn to EngineReady
  // A busy model is not drained for another before this, except if who waits would wait past his deadline.
  Duration min_residency = std::chrono::seconds(2);
  // Models that wait for room take turns in the order in which their oldest requests came; those of high priority count
  // as having come so much earlier, those of low priority so much later. So nobody is overtaken without end.
  Duration head_start = std::chrono::seconds(10);
  // Switches, in each of which models are moved out for another one, in any one second. 0: as many as are wanted.
  std::size_t max_switches_per_second = 0;
  Duration quarantine_first = std::chrono::seconds(1);  // doubled with each failure in a row
  Duration quarantine_max = std::chrono::seconds(60);
  std::size_t kept_decisions = 1000;
  std::uint64_t jitter_seed = 0;  // of the backoffs, each of which is up to a quarter shorter
};

// ---- events -------------------------------------------------------------------------------------------------------

// The catalog knows `model` (again): adding an id twice updates it. A pin set by PinRequested stays unless `pinned` is
// another one than before.
struct ModelAdded {
  ModelId model;
  bool pinned = false;
  PreloadStrategy preload = PreloadStrategy::kLazy;  // kEager: a preload is wanted at once, without evicting anything
  // What was inspected or is running was made with other settings or from another file: the model is inspected anew,
  // and an engine it has is replaced once its leases have ended. New requests wait for the new engine. What is known of
  // the old one, its failures too, says nothing about the new one.
  bool outdated = false;
  // Idle for so long it is parked, or stopped where it cannot be; and stopped altogether. 0: never. Not while pinned.
  Duration ttl{};
  Duration unload_ttl{};
  // How many requests its engine answers at once. 0: any number.
  unsigned slots = 0;
};
// The catalog no longer has it. Waiters fail; a resident engine is stopped when its leases have ended.
struct ModelRemoved {
  ModelId model;
};

// An inference request wants a lease. Answered by Grant or Reject, once.
struct LeaseRequested {
  RequestId request;
  ModelId model;
  TimePoint deadline;  // waiting longer than this is answered with kNoCapacity
  Caller caller{};
  // A look at an engine: no use of the model. Granted at once or rejected at once, with kModelNotLoaded where the model
  // would have to be loaded or woken, or is about to leave.
  bool looking = false;
  // How many of the engine's slots the request takes, all at once. 0: a visit, which generates nothing and takes none.
  // More than the model has: kInvalidArgument.
  unsigned slots = 1;
};
// load or preload. Answered by Done or Reject, once.
struct LoadRequested {
  RequestId request;
  ModelId model;
  bool preload = false;  // resident, but not marked as used
  bool force = false;    // may take pinned and busy models: their leases are aborted
  TimePoint deadline;
};
// Who wants a model out of memory: for the reasons that are given.
enum class Asker { kOperator, kSchedule, kKeepAlive };
// Answered by Done or Reject, once. Waits for leases until `deadline`, then fails with kConflict.
struct UnloadRequested {
  RequestId request;
  ModelId model;
  bool force = false;  // unpins, aborts leases and waiters at once
  TimePoint deadline;
  Asker asker = Asker::kOperator;
};
// Answered by Done or Reject, once. Waits for leases until `deadline`, then fails with kConflict; kNotSupported if its
// engine cannot be parked. A model that is not resident stays so. An engine that still works, be it on what its client
// gave up, is asked again until `deadline`.
struct ParkRequested {
  RequestId request;
  ModelId model;
  bool force = false;  // unpins, aborts leases and waiters at once
  TimePoint deadline;
  Asker asker = Asker::kOperator;
};
// Answered by Done or Reject at once. A cold model may be pinned: that does not load it.
struct PinRequested {
  RequestId request;
  ModelId model;
  bool pinned = true;
};
// The caller of a request that was not answered yet went away: no answer will be given.
struct RequestCancelled {
  RequestId request;
};
// A granted lease ended.
struct LeaseReleased {
  RequestId request;
  LeaseEnd end = LeaseEnd::kCompleted;
};
// The engine of a granted lease died before anything of its request was answered: it wants another, on a fresh engine.
// Answered by Grant or Reject, once; by Reject when this was its second engine. To be sent after EngineExited.
struct LeaseLost {
  RequestId request;
  TimePoint deadline;
};

// Answer to Inspect: what the model will take, or why it cannot run (kInvalidModel, kModelNotFound, ...). `residue`:
// what an engine like the one it will have was left with when it was parked, be it in an earlier life of the caller.
struct Inspected {
  ModelId model;
  std::uint64_t ticket;  // the one of the Inspect action: a late answer is ignored
  Result<Bytes> footprint;
  std::optional<Bytes> residue = std::nullopt;
  unsigned slots = 0;  // requests that the engine will answer at once, if that is not what ModelAdded said; 0: it is
};
struct EngineReady {
  EngineId engine;
  bool can_park = false;  // otherwise it is stopped instead
};
// Answer to Park: what is left of it in memory, how large its image is, and the page cache that a wake will find.
struct EngineParked {
  EngineId engine;
  Bytes residue;
  Bytes image;
  Bytes cached{};
};
// The other answer to Park: it is as hot as before. A reason of kConflict: it was still at work. `image_wanted`: how
// large its image would have been, if that was the reason; 0 otherwise.
struct ParkRefused {
  EngineId engine;
  Error reason;
  Bytes image_wanted{};
};
// Answer to Wake: it can serve again. Of what it needs soon, `cached` is in the page cache and `missing` is read now.
// That displaces so much of the page cache, all of which is `page_cache`; nothing where memory is left.
struct EngineWoken {
  EngineId engine;
  Bytes cached{};
  Bytes missing{};
  Bytes displaced{};
  Bytes page_cache{};
};
// What the engine holds at most, hot, as measured: takes the place of what was predicted.
struct FootprintMeasured {
  EngineId engine;
  Bytes footprint;
};
// Memory outside of the budget is short (or was, and is no more): `short_by` is to be given back. Sent again while that
// lasts; each time something is given back, the cheapest first: pages of parked models' weights, idle models' memory by
// parking, parked models. Meanwhile nothing is loaded, and who would need that is shed.
struct PressureChanged {
  bool under_pressure = false;
  Bytes short_by{};
};
// The process has been reaped: only now is its memory free. `reason` says why, for whoever was waiting.
struct EngineExited {
  EngineId engine;
  Error reason;
};

// The engine is alive, but for long it has done nothing although somebody waits for it. Answered by Kill, unless the
// engine is on its way out already or nobody waits any more.
struct EngineStalled {
  EngineId engine;
};

// Goes on where another one ended: with its statistics, and with the operators' pins, the times and the uses it knew of
// models that the catalog has now. `bring_back`: who was resident comes back in the background, the most wanted first
// and one at a time, as a preload that takes nobody's place and waits for whoever asks for something. To be sent once
// the catalog is known; ignored when anything was resident already.
struct HistoryRestored {
  History history;
  bool bring_back = true;
};
// An operator wants it forgotten.
struct ClearRequested {
  bool stats = false;    // the counters of the cache
  bool history = false;  // who was used, and the times that loads and wakes took
  bool images = false;   // idle parked models are stopped, as their images end with their engines
};
// The configuration was read again. Who waits already keeps his deadline and his turn; the seed of the backoffs stays.
struct OptionsChanged {
  ContextOptions options;
};
// No new work: waiters are rejected, leases may finish until `deadline`, then every engine is stopped.
struct DrainRequested {
  TimePoint deadline;
};
// Time passed (see next_timer()).
struct TimerFired {};

using Event =
    std::variant<ModelAdded, ModelRemoved, LeaseRequested, LoadRequested, UnloadRequested, ParkRequested, PinRequested,
                 RequestCancelled, LeaseReleased, LeaseLost, Inspected, EngineReady, EngineParked, ParkRefused,
                 EngineWoken, EngineExited, EngineStalled, FootprintMeasured, HistoryRestored, ClearRequested,
                 PressureChanged, OptionsChanged, DrainRequested, TimerFired>;

// ---- actions ------------------------------------------------------------------------------------------------------

// Find out what `model` will take, without disturbing anything. Answered by Inspected.
struct Inspect {
  ModelId model;
  std::uint64_t ticket;
};
// Start an engine. `footprint` is reserved. Answered by EngineReady or EngineExited.
struct Spawn {
  EngineId engine;
  ModelId model;
  Bytes footprint;
};
// End an engine; it holds no lease any more. Answered by EngineExited, always. `victim_of`: the model it makes room
// for, empty if none.
struct Stop {
  EngineId engine;
  ModelId model;
  std::string reason;  // in words
  ModelId victim_of;
  bool evicted = false;  // to make room, be it within the limits: counted
};
// Move an idle engine's memory to its image, which may take `max_image`. Answered by EngineParked, ParkRefused or
// EngineExited. `victim_of`, `evicted` as in Stop.
struct Park {
  EngineId engine;
  ModelId model;
  Bytes max_image;
  std::string reason;  // in words
  ModelId victim_of;
  bool evicted = false;
};
// Bring it back; its memory is reserved. Answered by EngineWoken or EngineExited.
struct Wake {
  EngineId engine;
  ModelId model;
};
// Give back so much of the page cache that a parked engine's weights and image take, the end of the weights first.
// Answered by nothing.
struct DropPages {
  EngineId engine;
  ModelId model;
  Bytes bytes;  // UINT64_MAX: all
};
// `model` will be loaded once there is room for it: its file may be read ahead meanwhile. `likely`: it is only likely
// to be, so nothing else should suffer from it.
struct ReadAhead {
  ModelId model;
  bool likely = false;
};
// End an engine at once, whatever it does; its leases are still to be released or lost. Answered by EngineExited,
// always.
struct Kill {
  EngineId engine;
  ModelId model;
};
// `request` may use `engine` until LeaseReleased or LeaseLost.
struct Grant {
  RequestId request;
  ModelId model;
  EngineId engine;
  CacheOutcome outcome;
  Duration waited;
};
// A life-cycle call succeeded.
struct Done {
  RequestId request;
  ModelId model;
  bool changed = true;             // false: already so ("already loaded", "not loaded")
  Duration took{};                 // from the call until now
  std::vector<ModelId> evicted{};  // to make room for this load
  Bytes footprint{};               // of the model, 0 if not resident
};
struct Reject {
  RequestId request;
  Error error;
};
// A granted lease must end now (force); LeaseReleased is still to be sent.
struct Abort {
  RequestId request;
  Error error;
};

using Action = std::variant<Inspect, Spawn, Stop, Park, Wake, DropPages, ReadAhead, Kill, Grant, Done, Reject, Abort>;

// ---- views --------------------------------------------------------------------------------------------------------

// What became of the inference requests: accepted = completed + failed + shed + cancelled + those under way.
struct RequestCounts {
  std::uint64_t accepted = 0;   // each LeaseRequested
  std::uint64_t completed = 0;  // LeaseEnd::kCompleted
  std::uint64_t failed = 0;     // LeaseEnd::kFailed, or rejected for a reason that waiting does not cure
  std::uint64_t shed = 0;       // rejected for now (HTTP 429 and 503)
  std::uint64_t cancelled = 0;  // its client went away

  std::uint64_t ended() const { return completed + failed + shed + cancelled; }
  bool operator==(const RequestCounts&) const = default;
};

// What became of preloads on a guess (PredictionOptions::preload).
struct PredictionStats {
  std::uint64_t made = 0;    // models loaded or woken
  std::uint64_t used = 0;    // that were asked for while they were there, or came
  std::uint64_t wasted = 0;  // that left again before
  Duration saved{};          // of waiting, for the first requests of those that were used
  Bytes wasted_bytes;        // of those that were not
  bool paused = false;       // too few are used: they are made on paper only, until they would pay again
};

// A model is in another state after a step than it was after the one before.
struct ResidencyChange {
  ModelId model;
  Residency from;
  Residency to;
};

struct ModelView {
  ModelId id;
  Residency residency = Residency::kCold;
  Bytes memory;  // reserved now; 0 when it holds none
  std::size_t leases = 0;
  unsigned slots = 0;              // of its engine; 0: any number
  unsigned slots_taken = 0;        // by those leases; may be more than there are, see ContextManager
  std::size_t waiting = 0;         // inference requests in its queue
  std::uint64_t access_count = 0;  // since it became resident
  std::optional<Duration> since_last_use;
  bool pinned = false;
  bool preloaded = false;
  std::optional<Error> last_failure;
  BreakerState breaker = BreakerState::kClosed;
  std::optional<Duration> tried_again_in;      // while the breaker is open
  std::optional<Duration> expected_load_time;  // as its loads took so far
  std::optional<EngineId> engine;
  bool can_park = false;  // its engine, if it has one
  Bytes image;            // on disk
  std::uint64_t parks = 0;
  std::uint64_t wakes = 0;
};

// How far the times of a LoadPlan are known.
enum class Confidence {
  kUnknown,   // nothing was loaded yet
  kGuessed,   // from the loads of other models
  kMeasured,  // in the last loads or wakes of the very models
};
// "unknown", "guessed", "measured".
std::string_view confidence_name(Confidence confidence);

// What a load would do if it were asked for now.
struct LoadPlan {
  bool possible = false;       // now, without waiting or force
  std::vector<ModelId> evict;  // in this order
  Bytes footprint;
  Bytes free;                                  // of the budget, before
  std::string reason;                          // in words: why (not)
  std::optional<Duration> expected_load_time;  // 0 if it is loaded
  Duration cost{};                             // until all of `evict` could serve again, one after the other
  Confidence confidence = Confidence::kUnknown;
};

}  // namespace minerva
