// Cluster: replays a trace through several nodes behind one router under a virtual clock, and compares routers.
//
// Each node is a real ContextManager with memory and slots of its own, and has every model's file; engines are ideal,
// as in replay.h. Requests come at their arrivals and overlap. Routers:
//   - round-robin: the nodes take turns.
//   - user-hash: a user always gets the same node.
//   - model-hash: a model always has the same node.
//   - multiplex: what Ray Serve's model multiplexing does. A node counts as having the last few models that were asked
//     there; the less busy of two random nodes that have the model gets the request, else one of those that have fewest
//     models.
//   - minerva: the least expected time to first token, as in cluster/minerva_cluster/board.py, which has the formula;
//     of loads that cost alike, the one that takes away what nobody has used for longest.
//
// Threading: a pure function of trace, world and options. It does not know what reading a prompt costs: how many
// requests come to the node that answered the same user's and model's request before is a figure of its own.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

struct ClusterOptions {
  std::size_t nodes = 4;
  Bytes memory;        // of each node; at least the size of the largest model
  unsigned slots = 2;  // requests that an engine answers at once
  double speed = 1;    // how many times as fast the requests come
  std::uint64_t seed = 1;
};

struct ClusterRow {
  std::string router;
  double loaded_gb = 0;    // 10^9 bytes
  double cold_wait_s = 0;  // of all loads that a request waited for
  double hit_rate = 0;     // percent
  double mean_wait_s = 0;
  double p50_wait_s = 0;
  double p99_wait_s = 0;
  double balance = 0;   // the busiest node's share of all service, times the number of nodes: 1 is even
  double returned = 0;  // percent of the requests that could come back to their conversation's node
};

// All of them, in the order above.
std::vector<std::string_view> router_names();
// Requires: `world` was made for `trace`, `router` is one of router_names(), and every model fits options.memory.
ClusterRow play_cluster(const Trace& trace, const World& world, std::string_view router, const ClusterOptions& options);
std::string to_text(const std::vector<ClusterRow>& rows);

}  // namespace minerva::cachesim
