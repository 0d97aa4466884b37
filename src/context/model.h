// Model: what the core remembers of one model of the catalog. Plain data; ContextManager::Impl keeps it consistent.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "context/breaker.h"
#include "minerva/context/types.h"

namespace minerva {

enum class ModelState {
  kCold,
  kInspecting,      // wanted; `ticket` is out
  kWaitingForRoom,  // wanted, and `footprint` is known
  kLoading,
  kHot,
  kStopping,
};

struct Model {
  ModelId id;
  bool known = true;  // false: no longer in the catalog; forgotten once cold
  bool pinned = false;
  bool pinned_by_catalog = false;  // what the catalog said last
  PreloadStrategy preload = PreloadStrategy::kLazy;

  ModelState state = ModelState::kCold;
  std::uint64_t ticket = 0;
  Bytes footprint;                 // as inspected last
  std::optional<EngineId> engine;  // loading, hot, stopping
  bool outdated = false;           // `engine` is to be replaced by one with other settings
  TimePoint spawned{};
  TimePoint hot_since{};
  std::map<RequestId, bool> leases;    // of `engine`; true: told to end
  std::optional<std::uint64_t> eager;  // the place in line of a preload that nobody waits for
  std::vector<ModelId> evicted;        // for the load under way

  // Set anew by each planning pass.
  bool draining = false;      // it is to leave for another, so new leases queue
  bool was_draining = false;  // in the pass before
  bool claimed = false;       // somebody counts on its leaving

  Breaker breaker;
  std::optional<Error> last_failure;
  bool stalled = false;                        // its engine was told to die, and serves nobody any more
  std::optional<Duration> expected_load_time;  // moving average of its loads
  std::optional<Duration> service_time;        // and of the leases it served

  bool preparing() const { return state == ModelState::kInspecting || state == ModelState::kWaitingForRoom; }
};

}  // namespace minerva
