// Replay: plays a trace against the real ContextManager under a virtual clock, with ideal engines.
//
// Inspect and Stop are answered at once, Spawn after the model's reload cost. Nothing is parked, and a model is busy
// only while it has a lease. So only the policy differs between two replays of a trace.
//   - Closed loop: one request at a time. A request comes at its arrival, or when the one before was served, if that is
//     later; its lease ends at once. All waiting is for cold loads, and none for other requests: policies are compared
//     by this.
//   - Timed: requests come at their arrivals, leases last, several loads run at once, and a request that finds no room
//     waits.
//
// Threading: replays share only the constant trace and world.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "cachesim/trace.h"
#include "cachesim/world.h"
#include "minerva/cache/eviction_policy.h"
#include "minerva/context/context_manager.h"

namespace minerva::cachesim {

// How far a replay has come, for policies that know the trace.
struct Progress {
  std::size_t issued = 0;  // how many requests
};
// The policy of one replay. `progress` outlives it.
using PolicyMaker = std::function<std::unique_ptr<EvictionPolicy>(const Progress& progress)>;

struct ReplayOptions {
  Bytes capacity;  // at least the size of the largest model
  bool timed = false;
  bool predict = false;      // preloads models that are likely to be asked for
  Duration min_residency{};  // as in ContextOptions; it matters only where requests overlap
  std::function<void(const ContextManager&)> after_step = nullptr;  // for tests
};

// A model came into memory, or left it.
struct Move {
  bool comes = false;
  std::uint32_t model = 0;

  bool operator==(const Move&) const = default;
};

struct Outcome {
  Duration cold_wait{};  // of all loads that a request waited for
  std::uint64_t hits = 0;
  std::uint64_t misses = 0;
  Bytes loaded;
  std::vector<Move> moves;             // in order
  std::vector<std::uint32_t> granted;  // requests, in order
  PredictionStats predictions;
  std::vector<Duration> waits;  // of each request, until it was granted
};

// Requires: `world` was made for `trace`, and every model fits options.capacity.
Outcome replay(const Trace& trace, const World& world, const PolicyMaker& make_policy, const ReplayOptions& options);

}  // namespace minerva::cachesim
