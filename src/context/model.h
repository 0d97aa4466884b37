// Model: what the core remembers of one model of the catalog. Plain data; the transitions (impl.h) keep it consistent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "context/breaker.h"
#include "context/caller_turns.h"
#include "minerva/cache/eviction_policy.h"
#include "minerva/context/types.h"

namespace minerva {

enum class ModelState {
  kCold,
  kInspecting,      // wanted; `ticket` is out
  kWaitingForRoom,  // wanted, and `footprint` is known
  kLoading,
  kHot,
  kParking,
  kParked,
  kWaking,
  kStopping,
};

// The place in line (Model::eager) of one that comes back after a restart and that nobody waits for.
constexpr std::uint64_t kBehindAll = UINT64_MAX - 1;

// What a model has only while it is in one of these states; in the order of ModelState.
namespace phase {
struct Cold {};
struct Inspecting {
  std::uint64_t ticket = 0;
};
struct WaitingForRoom {};
struct Loading {
  TimePoint started{};
};
struct Hot {};
struct Parking {
  bool to_make_room = false;  // an eviction, if it succeeds
  ModelId made_for{};         // the model it makes room for, empty if none
};
struct Parked {};
struct Waking {
  TimePoint started{};
};
struct Stopping {};
}  // namespace phase
using Phase = std::variant<phase::Cold, phase::Inspecting, phase::WaitingForRoom, phase::Loading, phase::Hot,
                           phase::Parking, phase::Parked, phase::Waking, phase::Stopping>;

// What is known of the engine that a model has; as new for one without.
struct EngineRun {
  bool outdated = false;  // it is to be replaced by one with other settings
  bool stalled = false;   // it was told to die, and serves nobody any more
  bool can_park = false;
  TimePoint hot_since{};          // that it can serve, after its load or its latest wake
  TimePoint not_parked_before{};  // a park was refused
  unsigned busy_refusals = 0;     // of a park in a row, as it was still at work
  Bytes image;                    // as it was last, or would have been; 0 if that is not known
  Bytes cached;  // page cache that it takes: as told by its latest park or wake, less what it gave back
};

struct Model {
  ModelId id;
  bool known = true;  // false: no longer in the catalog; forgotten once cold
  bool pinned = false;
  bool pinned_by_catalog = false;  // what the catalog said last
  PreloadStrategy preload = PreloadStrategy::kLazy;
  Duration ttl{};         // 0: none
  Duration unload_ttl{};  // 0: none

  Phase phase;
  Residency told = Residency::kCold;  // as of the last step, see ContextManager::changes
  Bytes footprint;                    // hot, as inspected or measured last
  std::optional<EngineId> engine;     // all but the first three states
  EngineRun run;                      // `engine`
  TimePoint had_turn{};               // when it was told to leave for another
  std::map<RequestId, bool> leases;   // of `engine`; true: told to end
  unsigned slots = 0;                 // that an engine of it has; 0: any number
  unsigned slots_taken = 0;           // by the leases
  CallerTurns caller_turns;           // among those who wait for a slot
  // The request that is next, as long as it waits for more slots than one: nobody takes them from it meanwhile.
  std::optional<RequestId> collects;
  std::optional<std::uint64_t> eager;  // the place in line of a preload that nobody waits for
  std::optional<CacheEntry> past;      // resident before a restart, or a drain, and to come back
  // It is loaded, or awake, though nobody asked for it so far (predicting.cc).
  struct Guess {
    std::string why;
    bool woken = false;
  };
  std::optional<Guess> guess;
  std::vector<ModelId> evicted;     // for the load or wake under way
  bool read_ahead = false;          // its file, for the load under way
  bool switching = false;           // others were told to leave for the load or wake under way
  std::uint64_t room_decision = 0;  // that others leave for it, for the load or wake under way
  std::string room_plan;            // who leaves, as decided last

  std::optional<Bytes> residue;  // as it was last time
  std::uint64_t parks = 0;
  std::uint64_t wakes = 0;

  bool failed_on_guess = false;  // so it is not loaded on another one before somebody used it
  bool read_on_guess = false;    // its file, since its memory was given back last

  // Set anew after each plan.
  bool draining = false;  // it is to leave for another, so new leases queue

  Breaker breaker;
  std::optional<Error> last_failure;
  std::optional<Duration> expected_load_time;  // moving average of its loads
  std::optional<Duration> expected_wake_time;  // and of its wakes
  std::optional<Duration> service_time;        // and of the leases it served

  ModelState state() const { return static_cast<ModelState>(phase.index()); }
  // Of the load or wake under way.
  TimePoint started() const {
    const auto* const load = std::get_if<phase::Loading>(&phase);
    return load != nullptr ? load->started : std::get<phase::Waking>(phase).started;
  }
  // In the cache: hot, parked or between the two.
  bool resident() const {
    const ModelState now_in = state();
    return now_in == ModelState::kHot || now_in == ModelState::kParking || now_in == ModelState::kParked ||
           now_in == ModelState::kWaking;
  }
  bool preparing() const { return state() == ModelState::kInspecting || state() == ModelState::kWaitingForRoom; }
};

}  // namespace minerva
