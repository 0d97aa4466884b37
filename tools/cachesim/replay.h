// Replay: plays a trace against the real ContextManager under a virtual clock, with engines that do as they are told.
//
// Inspect and Stop are answered at once, Spawn after the model's reload cost. Nothing is parked and no model is busy
// for longer than its lease, so what differs between two replays of a trace is the policy alone.
//   - Closed loop: one request at a time, which comes when it arrives or when the one before was served, if that is
//     later, and whose lease ends at once. All waiting is for cold loads, none for others: this is what policies are
//     compared by.
//   - Timed: requests come when they arrive, leases last, several loads run at once, and whoever finds no room waits.
//
// Threading: replays share nothing but the constant trace and world.
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

// How far a replay is, for policies that know the trace.
struct Progress {
  std::size_t issued = 0;  // requests
};
// The policy of one replay. `progress` outlives it.
using PolicyMaker = std::function<std::unique_ptr<EvictionPolicy>(const Progress& progress)>;

struct ReplayOptions {
  Bytes capacity;  // at least the largest model
  bool timed = false;
  bool predict = false;      // models are preloaded that are likely to be asked for
  Duration min_residency{};  // as ContextOptions'; it only counts where requests overlap
  std::function<void(const ContextManager&)> after_step = nullptr;  // for tests
};

// A model came into memory or left it.
struct Move {
  bool comes = false;
  std::uint32_t model = 0;

  bool operator==(const Move&) const = default;
};

struct Outcome {
  Duration cold_wait{};  // of all loads together that somebody waited for
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
