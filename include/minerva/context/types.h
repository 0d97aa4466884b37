// What ContextManager and its caller exchange: events in, actions out. Plain values.
//
// Threading: none of its own. See context_manager.h for the protocol.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"
#include "minerva/context/footprint.h"
#include "minerva/context/history.h"

namespace minerva {

// When a model of the catalog is to be loaded.
enum class PreloadStrategy {
  kEager,      // at start
  kLazy,       // on first use
  kScheduled,  // at set times, each by a LoadRequested; the core treats it as kLazy
};

// The state of a model, as others see it. A model holds no memory in kCold, kPreparing and kQuarantined. It is resident
// in kHot, in kParked, and in the states between these two.
enum class Residency {
  kCold,         // no process
  kPreparing,    // somebody wants the model: it is being inspected, or waits for room
  kLoading,      // the process is starting; memory is reserved
  kHot,          // can serve
  kParking,      // the engine writes its memory to an image on disk; all of the memory is still reserved
  kParked,       // the process lives, and the image has the conversations; what the process keeps in memory is reserved
  kWaking,       // the engine reads its image; all of its memory is reserved again
  kStopping,     // the engine is being ended; all of its memory is still reserved
  kQuarantined,  // the model failed: it is not tried again before the backoff ends (its breaker is open)
};
// "cold", "preparing", "loading", "hot", "parking", "parked", "waking", "stopping", "quarantined": the `state` in every
// answer of the API.
std::string_view residency_name(Residency residency);

// Whether a model that failed may be loaded again. Closed: it may. Open: not before the backoff ends. Half open: one
// load and then one request try the model, and other requests wait until that request has succeeded.
enum class BreakerState { kClosed, kOpen, kHalfOpen };
// "closed", "open", "half_open".
std::string_view breaker_state_name(BreakerState state);

// How an inference request found its model.
enum class CacheOutcome {
  kHit,     // hot
  kParked,  // resident, but the model had to be woken: counts as a hit
  kMiss,    // not resident
};

// How a lease ended.
enum class LeaseEnd {
  kCompleted,  // the engine answered, even if the answer is an error: earlier failures of the model count no more
  kFailed,     // the answer broke off, or did not begin
  kCancelled,  // the client went away
};

// The limits for parked models.
struct ParkingLimits {
  bool enabled = true;               // false: engines are stopped instead of parked
  Bytes memory = Bytes(UINT64_MAX);  // of all residues together, within the budget
  Bytes images = Bytes(UINT64_MAX);  // of all images together on disk, those of hot models included
};

// The priority of a request among those that wait for room: see ContextOptions::head_start.
enum class Priority { kLow, kNormal, kHigh };
// "low", "normal", "high".
std::string_view priority_name(Priority priority);
// Nothing if `name` is none of these.
std::optional<Priority> parse_priority(std::string_view name);

// Who sent a request.
struct Caller {
  UserId user{};
  Priority priority = Priority::kNormal;
  bool operator==(const Caller&) const = default;
};

// Preloads on a guess: the core's work for models that are likely to be asked for next. The core does this work only
// while no request waits and no model moves.
struct PredictionOptions {
  bool preload = false;     // load or wake these models, where that takes no room from another model
  bool read_ahead = false;  // read the files of those that are not loaded into the page cache
};

// ---- configuration ------------------------------------------------------------------------------------------------

// A device with memory of its own.
struct Device {
  std::string id;  // not kHostPool
  Bytes memory_budget;
  bool operator==(const Device&) const = default;
};
// The name of the pool of the host's memory.
inline constexpr std::string_view kHostPool = "host";

struct ContextOptions {
  std::size_t max_models = 0;               // 0: bounded by memory only
  Bytes memory_budget = Bytes(UINT64_MAX);  // of all reservations together, in the host's memory
  std::vector<Device> devices{};            // at most Footprint::kMostDevices
  ParkingLimits parking{};
  PredictionOptions prediction{};
  std::size_t max_queue_per_model = 128;             // waiting requests
  std::size_t max_queue = 1024;                      // waiting requests in all
  Duration load_timeout = std::chrono::minutes(10);  // from Spawn to EngineReady
  // A busy model does not drain for another one before it has been hot for this long, unless a waiting request would
  // otherwise pass its deadline.
  Duration min_residency = std::chrono::seconds(2);
  // Models that wait for room take turns in the order of their oldest requests. A request of high priority counts as if
  // it had come earlier by this time, one of low priority as if it had come later. So no request is overtaken for ever.
  Duration head_start = std::chrono::seconds(10);
  // How many switches there may be in any one second. In a switch, models leave for another model. 0: any number.
  std::size_t max_switches_per_second = 0;
  Duration quarantine_first = std::chrono::seconds(1);  // the first backoff; doubled with each failure in a row
  Duration quarantine_max = std::chrono::seconds(60);
  std::size_t kept_decisions = 1000;
  std::uint64_t jitter_seed = 0;  // of the backoffs, each of which is up to a quarter shorter
};

// ---- events -------------------------------------------------------------------------------------------------------

// The catalog has `model`. Adding an id that is known updates the model. A pin set by PinRequested stays, unless
// `pinned` differs from what the last ModelAdded said.
struct ModelAdded {
  ModelId model;
  bool pinned = false;
  PreloadStrategy preload = PreloadStrategy::kLazy;  // kEager: the model is loaded at once, if no model has to leave
  // The inspection or the running engine belongs to other settings or to another file. So the model is inspected again.
  // The model's engine, if there is one, is replaced once its leases have ended; new requests wait for the new engine.
  // Knowledge from the old engine, its failures included, no longer counts.
  bool outdated = false;
  // After being idle for `ttl` the model is parked, or stopped if it cannot be parked; after `unload_ttl` it is
  // stopped. 0: never. A pinned model stays.
  Duration ttl{};
  Duration unload_ttl{};
  // How many requests the model's engine answers at once. 0: any number.
  unsigned slots = 0;
  // While it is parked, it gives page cache back to no other model, and before a shortage of memory after all others.
  bool keeps_pages = false;
};
// The catalog no longer has the model. Its waiting requests fail; a resident engine is stopped when its leases end.
struct ModelRemoved {
  ModelId model;
};

// An inference request wants a lease. Answered once, by Grant or Reject.
struct LeaseRequested {
  RequestId request;
  ModelId model;
  TimePoint deadline;  // a request that still waits at this time is rejected with kNoCapacity
  Caller caller{};
  // The request only looks at an engine, which is no use of the model. The answer comes at once: Grant, or Reject with
  // kModelNotLoaded if the model would have to be loaded or woken, or is about to leave.
  bool looking = false;
  // How many of the engine's slots the request takes, all at once. 0: a visit, which generates nothing and takes no
  // slot. More than the model has: kInvalidArgument.
  unsigned slots = 1;
};
// A load or a preload. Answered once, by Done or Reject.
struct LoadRequested {
  RequestId request;
  ModelId model;
  bool preload = false;  // the model becomes resident, but does not count as used
  bool force = false;    // pinned and busy models may leave too; their leases are aborted
  TimePoint deadline;
};
// The asker of a park or an unload; the reasons in answers and decisions name the asker.
enum class Asker { kOperator, kSchedule, kKeepAlive };
// Answered once, by Done or Reject. Waits until the model's leases have ended; at `deadline` it fails with kConflict.
struct UnloadRequested {
  RequestId request;
  ModelId model;
  bool force = false;  // unpins the model, and aborts its leases and waiting requests at once
  TimePoint deadline;
  Asker asker = Asker::kOperator;
};
// Answered once, by Done or Reject. Waits until the model's leases have ended; at `deadline` it fails with kConflict.
// If the engine cannot be parked, it fails with kNotSupported. A model that is not resident stays as it is. An engine
// that still works, possibly on a request whose client went away, is asked again until `deadline`.
struct ParkRequested {
  RequestId request;
  ModelId model;
  bool force = false;  // unpins the model, and aborts its leases and waiting requests at once
  TimePoint deadline;
  Asker asker = Asker::kOperator;
};
// Answered at once, by Done or Reject. Pinning a cold model does not load it.
struct PinRequested {
  RequestId request;
  ModelId model;
  bool pinned = true;
};
// The client of a request that has no answer yet went away. The request gets no answer.
struct RequestCancelled {
  RequestId request;
};
// A granted lease ended.
struct LeaseReleased {
  RequestId request;
  LeaseEnd end = LeaseEnd::kCompleted;
};
// A granted lease lost its engine before its request got any part of an answer: the request wants another, fresh
// engine. Answered once, by Grant or Reject; by Reject if this was the request's second engine. Send the event after
// EngineExited.
struct LeaseLost {
  RequestId request;
  TimePoint deadline;
};

// The answer to Inspect: how much memory the model will take, or why it cannot run (kInvalidModel, kModelNotFound,
// ...). `residue`: how much was left in memory when an engine like this one was parked, possibly in an earlier life.
struct Inspected {
  ModelId model;
  std::uint64_t ticket;  // the one of the Inspect action: a late answer is ignored
  Result<Footprint> footprint;
  std::optional<Footprint> residue = std::nullopt;
  unsigned slots = 0;  // how many requests the engine will answer at once; 0: as many as ModelAdded said
};
struct EngineReady {
  EngineId engine;
  bool can_park = false;  // false: the engine is stopped where it would be parked
};
// The answer to Park: how much the engine still has in memory, how large its image is, and how much of what a wake
// reads is in the page cache.
struct EngineParked {
  EngineId engine;
  Footprint residue;
  Bytes image;
  Bytes cached{};
};
// The other answer to Park: the engine is hot as before. The reason is kConflict if the engine was still at work.
// `image_wanted`: the size of the image if that was more than allowed; otherwise 0.
struct ParkRefused {
  EngineId engine;
  Error reason;
  Bytes image_wanted{};
};
// The answer to Wake: the engine can serve again. Of what it needs soon, `cached` is in the page cache, and `missing`
// is being read. That pushes `displaced` out of the page cache, which has `page_cache` in all; nothing while memory is
// free.
struct EngineWoken {
  EngineId engine;
  Bytes cached{};
  Bytes missing{};
  Bytes displaced{};
  Bytes page_cache{};
};
// The other answer to Wake: a device has no room for the model any more. The engine is parked as before.
struct WakeRefused {
  EngineId engine;
  Error reason;
};
// The measured footprint of the engine: the most that it holds while it is hot. It replaces the prediction.
struct FootprintMeasured {
  EngineId engine;
  Footprint footprint;
};
// Memory outside of the budget is short, or is short no more. The models have to give `short_by` back. The event is
// sent again while the shortage lasts. Each time the core gives something back, the cheapest first: pages of the
// weights of parked models; then memory of idle models, which are parked; then parked models, which are stopped. While
// memory is short no model is loaded, and a request that needs a load is shed.
struct PressureChanged {
  bool under_pressure = false;
  Bytes short_by{};
};
// Other programs have taken memory of devices, or have given some back: how much all models together may have of each
// device now. The budget stays the most. If models have more, idle ones leave at once, in the same order as under
// pressure. If a model does not fit its device any more even alone, it is stopped if it is parked, and inspected anew,
// which may place it elsewhere; a model that waits for room is shed. The host's memory is not meant: see
// PressureChanged.
struct DevicesChanged {
  Footprint available = Footprint::unbounded();
};
// The engine's process has been reaped: only now is its memory free. `reason` is the answer to waiting requests. Its
// code is kNoCapacity if the engine loaded and a device had no room for it.
struct EngineExited {
  EngineId engine;
  Error reason;
};

// The engine is alive but has done nothing for long, although somebody waits for it. Answered by Kill, unless the
// engine is already ending or nobody waits any more.
struct EngineStalled {
  EngineId engine;
};

// Continues where an earlier ContextManager ended: with its statistics and, for models that the catalog has now, with
// the operators' pins, the measured times and the uses. `bring_back`: the models that were resident come back in the
// background, one at a time, the most wanted first. Each comes as a preload that takes no other model's place and
// yields to every request. Send the event once the catalog is known. The event is ignored if a model is resident.
struct HistoryRestored {
  History history;
  bool bring_back = true;
};
// An operator wants the core to forget some of what it knows.
struct ClearRequested {
  bool stats = false;    // the cache's counters
  bool history = false;  // the uses of the models, and the times that loads and wakes took
  bool images = false;   // stops parked models that are idle, since an image goes with its engine
};
// The configuration was read again. Requests that wait keep their deadlines and their turns; the backoffs' seed stays.
struct OptionsChanged {
  ContextOptions options;
};
// The core takes no new work: waiting requests are rejected, leases may go on until `deadline`, then every engine is
// stopped.
struct DrainRequested {
  TimePoint deadline;
};
// Time has passed (see next_timer()).
struct TimerFired {};

using Event =
    std::variant<ModelAdded, ModelRemoved, LeaseRequested, LoadRequested, UnloadRequested, ParkRequested, PinRequested,
                 RequestCancelled, LeaseReleased, LeaseLost, Inspected, EngineReady, EngineParked, ParkRefused,
                 EngineWoken, WakeRefused, EngineExited, EngineStalled, FootprintMeasured, HistoryRestored,
                 ClearRequested, PressureChanged, DevicesChanged, OptionsChanged, DrainRequested, TimerFired>;

// ---- actions ------------------------------------------------------------------------------------------------------

// Find out how much memory `model` will take. No other model may suffer from that. Answered by Inspected.
struct Inspect {
  ModelId model;
  std::uint64_t ticket;
};
// Start an engine, for which `footprint` is reserved. Answered by EngineReady or EngineExited.
struct Spawn {
  EngineId engine;
  ModelId model;
  Footprint footprint;
};
// End an engine that holds no lease any more. Always answered by EngineExited. `victim_of`: the model for which the
// engine makes room; empty if there is none.
struct Stop {
  EngineId engine;
  ModelId model;
  std::string reason;  // in words
  ModelId victim_of;
  bool evicted = false;  // the model makes room for another one, or brings memory within the limits: an eviction
};
// Write an idle engine's memory to its image, which may take `max_image` at most. Answered by EngineParked, ParkRefused
// or EngineExited. `victim_of`, `evicted`: as in Stop.
struct Park {
  EngineId engine;
  ModelId model;
  Bytes max_image;
  std::string reason;  // in words
  ModelId victim_of;
  bool evicted = false;
};
// Bring a parked engine back; its memory is reserved. Answered by EngineWoken, WakeRefused or EngineExited.
struct Wake {
  EngineId engine;
  ModelId model;
};
// Drop `bytes` of the page cache that a parked engine's weights and image take, from the end of the weights on. Not
// answered.
struct DropPages {
  EngineId engine;
  ModelId model;
  Bytes bytes;  // UINT64_MAX: all
};
// `model` will be loaded once there is room for it, so its file may be read ahead meanwhile. `likely`: the load is only
// likely, so the reading must not slow anything else down. Not answered.
struct ReadAhead {
  ModelId model;
  bool likely = false;
};
// End an engine at once, whatever it does. Its leases are released or lost after that. Always answered by EngineExited.
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
  bool changed = true;             // false: the model was as wanted already ("already loaded", "not loaded")
  Duration took{};                 // from the call to its answer
  std::vector<ModelId> evicted{};  // to make room for this load
  Bytes footprint{};               // the model's; 0 if the model is not resident
};
struct Reject {
  RequestId request;
  Error error;
};
// A granted lease must end now, as an operator used force. The caller still has to send LeaseReleased.
struct Abort {
  RequestId request;
  Error error;
};

using Action = std::variant<Inspect, Spawn, Stop, Park, Wake, DropPages, ReadAhead, Kill, Grant, Done, Reject, Abort>;

// ---- views --------------------------------------------------------------------------------------------------------

// How the inference requests ended: accepted = completed + failed + shed + cancelled + those that wait or run.
struct RequestCounts {
  std::uint64_t accepted = 0;   // each LeaseRequested
  std::uint64_t completed = 0;  // LeaseEnd::kCompleted
  std::uint64_t failed = 0;     // LeaseEnd::kFailed, or rejected for a reason that waiting does not cure
  std::uint64_t shed = 0;       // rejected for now (HTTP 429 and 503)
  std::uint64_t cancelled = 0;  // the client went away

  std::uint64_t ended() const { return completed + failed + shed + cancelled; }
  bool operator==(const RequestCounts&) const = default;
};

// How preloads on a guess (PredictionOptions::preload) turned out.
struct PredictionStats {
  std::uint64_t made = 0;    // how many models were loaded or woken
  std::uint64_t used = 0;    // how many of them were asked for while they were resident or on their way
  std::uint64_t wasted = 0;  // how many of them left before anybody asked for them
  Duration saved{};          // the waiting that used preloads saved their first requests
  Bytes wasted_bytes;        // the memory of the wasted preloads
  bool paused = false;       // too few were used: guesses are only recorded, until preloads would pay again
};

// A model's state after a step differs from its state after the step before.
struct ResidencyChange {
  ModelId model;
  Residency from;
  Residency to;
};

// One pool of memory: the host's, or a device's.
struct PoolView {
  std::string id;  // kHostPool, or the device's
  Bytes budget;
  Bytes available;  // of the budget: less where other programs have the rest
  Bytes reserved;   // what all engines hold of it
};

struct ModelView {
  ModelId id;
  Residency residency = Residency::kCold;
  Bytes memory;       // reserved now, in all pools together
  Footprint by_pool;  // the same, in each pool
  std::size_t leases = 0;
  unsigned slots = 0;              // of its engine; 0: any number
  unsigned slots_taken = 0;        // by these leases; may be more than there are, if answers are quick
  std::size_t waiting = 0;         // inference requests in its queue
  std::uint64_t access_count = 0;  // since it became resident
  std::optional<Duration> since_last_use;
  bool pinned = false;
  bool preloaded = false;
  std::optional<Error> last_failure;
  BreakerState breaker = BreakerState::kClosed;
  std::optional<Duration> tried_again_in;      // while the breaker is open
  std::optional<Duration> expected_load_time;  // by its loads so far
  std::optional<EngineId> engine;
  bool can_park = false;  // of its engine, if it has one
  Bytes image;            // on disk
  Bytes cached;           // while it is parked: of what a wake reads, in the page cache as far as is known
  std::uint64_t parks = 0;
  std::uint64_t wakes = 0;
};

// Where the times of a LoadPlan come from.
enum class Confidence {
  kUnknown,   // nowhere: no model was loaded yet
  kGuessed,   // the loads of other models
  kMeasured,  // the last loads or wakes of the same models
};
// "unknown", "guessed", "measured".
std::string_view confidence_name(Confidence confidence);

// What a load would do if it were asked for now.
struct LoadPlan {
  bool possible = false;       // now, without waiting or force
  std::vector<ModelId> evict;  // in this order
  Bytes footprint;
  Bytes free;                                  // of the budget, before
  std::string reason;                          // in words: why the load is possible, or not
  std::optional<Duration> expected_load_time;  // 0 if it is loaded
  Duration cost{};                             // until all of `evict` could serve again, one after the other
  Confidence confidence = Confidence::kUnknown;
};

}  // namespace minerva
