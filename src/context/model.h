// Model: what the core knows of one model of the catalog. Plain data; the transitions (impl.h) keep it consistent.
//
// Threading: one thread.
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
  kInspecting,      // somebody wants the model; the answer to Inspect is still to come
  kWaitingForRoom,  // somebody wants the model, and its footprint is known
  kLoading,
  kHot,
  kParking,
  kParked,
  kWaking,
  kStopping,
};

// The place in line (Model::eager) of a model that comes back after a restart while no request waits for it.
constexpr std::uint64_t kBehindAll = UINT64_MAX - 1;

// The data that a model has only while it is in one of its states. The order is that of ModelState.
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
  bool to_make_room = false;  // the park counts as an eviction once it succeeds
  ModelId made_for{};         // the model for which this one makes room; empty if there is none
};
struct Parked {};
struct Waking {
  TimePoint started{};
  Footprint kept{};  // while it was parked
};
struct Stopping {};
}  // namespace phase
using Phase = std::variant<phase::Cold, phase::Inspecting, phase::WaitingForRoom, phase::Loading, phase::Hot,
                           phase::Parking, phase::Parked, phase::Waking, phase::Stopping>;

// The core's knowledge of a model's engine. A model without an engine has the default values.
struct EngineRun {
  bool outdated = false;  // an engine with other settings is to replace this one
  bool stalled = false;   // the engine is being killed, and gets no more requests
  bool can_park = false;
  TimePoint hot_since{};          // when its load or its latest wake ended
  TimePoint not_parked_before{};  // after a refused park: when the next park may be tried
  unsigned busy_refusals = 0;     // refused parks in a row, each because the engine was still at work
  Bytes image;                    // the size of its latest image, also of a refused one; 0 if that is not known
  Bytes cached;                   // of page cache, by its latest park or wake, less what it gave back
};

struct Model {
  ModelId id;
  bool known = true;  // false: the catalog no longer has the model, which is forgotten once it is cold
  bool pinned = false;
  bool pinned_by_catalog = false;  // what the catalog said last
  PreloadStrategy preload = PreloadStrategy::kLazy;
  Duration ttl{};         // 0: none
  Duration unload_ttl{};  // 0: none
  bool keeps_pages = false;

  Phase phase;
  Residency told = Residency::kCold;  // what others know of its state, see ContextManager::changes
  Footprint footprint;                // of a hot engine, as inspected or measured last
  std::optional<EngineId> engine;     // in all but the first three states
  EngineRun run;                      // of `engine`
  TimePoint had_turn{};               // when the model had to leave for another one
  std::map<RequestId, bool> leases;   // of `engine`; true: the lease was aborted, and has not ended yet
  unsigned slots = 0;                 // of an engine of the model; 0: any number
  unsigned slots_taken = 0;           // by the leases
  CallerTurns caller_turns;           // among the callers whose requests wait for a slot
  // The next request, while it waits for several slots: meanwhile no other request takes one.
  std::optional<RequestId> collects;
  std::optional<std::uint64_t> eager;  // the place in line of a preload for which no request waits
  std::optional<CacheEntry> past;      // of a model that was resident before a restart or a drain, and is to come back
  // Why the model is loaded or woken, although nobody has asked for it (predicting.cc).
  struct Guess {
    std::string why;
    bool woken = false;
  };
  std::optional<Guess> guess;
  // Of the load or wake that is wanted or under way:
  std::vector<ModelId> evicted;     // the models that were stopped for it
  bool read_ahead = false;          // the file was read ahead
  bool switching = false;           // other models had to leave
  std::uint64_t room_decision = 0;  // the number of the decision that others leave; 0: there is none
  std::string room_plan;            // the models that leave, by the latest decision

  std::optional<Footprint> residue;  // of its latest park
  std::uint64_t parks = 0;
  std::uint64_t wakes = 0;

  bool failed_on_guess = false;  // a load on a guess failed: there is no other guess before somebody uses the model
  bool read_on_guess = false;    // the file was read ahead on a guess, since the model's memory was given back

  // Set anew by each plan.
  bool draining = false;  // the model is to leave for another one, so new requests wait

  Breaker breaker;
  std::optional<Error> last_failure;
  // Moving averages.
  std::optional<Duration> expected_load_time;
  std::optional<Duration> expected_wake_time;
  std::optional<Duration> service_time;  // of its leases

  ModelState state() const { return static_cast<ModelState>(phase.index()); }
  // When the load or wake under way began.
  TimePoint started() const {
    const auto* const load = std::get_if<phase::Loading>(&phase);
    return load != nullptr ? load->started : std::get<phase::Waking>(phase).started;
  }
  // Hot, parked or between the two: the model is in the cache.
  bool resident() const {
    const ModelState now_in = state();
    return now_in == ModelState::kHot || now_in == ModelState::kParking || now_in == ModelState::kParked ||
           now_in == ModelState::kWaking;
  }
  bool preparing() const { return state() == ModelState::kInspecting || state() == ModelState::kWaitingForRoom; }
};

}  // namespace minerva
