// Model: what the core remembers of one model of the catalog. Plain data; the transitions (impl.h) keep it consistent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
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

struct Model {
  ModelId id;
  bool known = true;  // false: no longer in the catalog; forgotten once cold
  bool pinned = false;
  bool pinned_by_catalog = false;  // what the catalog said last
  PreloadStrategy preload = PreloadStrategy::kLazy;
  Duration ttl{};         // 0: none
  Duration unload_ttl{};  // 0: none

  ModelState state = ModelState::kCold;
  Residency told = Residency::kCold;  // as of the last step, see ContextManager::changes
  std::uint64_t ticket = 0;
  Bytes footprint;                 // hot, as inspected or measured last
  std::optional<EngineId> engine;  // all but the first three states
  bool outdated = false;           // `engine` is to be replaced by one with other settings
  TimePoint started{};             // its load or wake
  TimePoint hot_since{};
  TimePoint had_turn{};              // when it was told to leave for another
  std::map<RequestId, bool> leases;  // of `engine`; true: told to end
  unsigned slots = 0;                // that an engine of it has; 0: any number
  unsigned slots_taken = 0;          // by the leases
  CallerTurns caller_turns;          // among those who wait for a slot
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

  bool can_park = false;             // `engine`
  TimePoint not_parked_before{};     // a park was refused
  unsigned busy_refusals = 0;        // in a row, as the engine was still at work
  bool parked_to_make_room = false;  // an eviction, if the park under way succeeds
  ModelId parked_for;                // the model it makes room for, empty if none
  Bytes cached;                  // page cache that it takes: as told by its latest park or wake, less what it gave back
  std::optional<Bytes> residue;  // as it was last time
  Bytes image;                   // as it was last, or would have been; 0 if that is not known
  std::uint64_t parks = 0;
  std::uint64_t wakes = 0;

  bool failed_on_guess = false;  // so it is not loaded on another one before somebody used it
  bool read_on_guess = false;    // its file, since its memory was given back last

  // Set anew after each plan.
  bool draining = false;  // it is to leave for another, so new leases queue

  Breaker breaker;
  std::optional<Error> last_failure;
  bool stalled = false;                        // its engine was told to die, and serves nobody any more
  std::optional<Duration> expected_load_time;  // moving average of its loads
  std::optional<Duration> expected_wake_time;  // and of its wakes
  std::optional<Duration> service_time;        // and of the leases it served

  // In the cache: hot, parked or between the two.
  bool resident() const {
    return state == ModelState::kHot || state == ModelState::kParking || state == ModelState::kParked ||
           state == ModelState::kWaking;
  }
  bool preparing() const { return state == ModelState::kInspecting || state == ModelState::kWaitingForRoom; }
};

}  // namespace minerva
