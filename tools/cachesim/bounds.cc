// Source: D. Berger, N. Beckmann, M. Harchol-Balter, "Practical Bounds on Optimal Caching with Variable Object Sizes",
// SIGMETRICS 2018 (PFOO-L), with costs in place of misses.
//
// Why it is a bound. Number the requests, and look at the memory at each of them, while it holds its lease: N moments.
// A request is a hit only if its model was there at every moment since its last one, itself included: d of them, if
// that one was d requests ago. This saves one reload cost. At the first of the d moments the model is there in any
// case, as it has the lease; at the d - 1 others another one has. So beyond what the leased models take, which every
// policy has to give them, a hit takes size * (d - 1) of space-time, and shares this piece with no other hit, as each
// model is in memory once and the intervals of one model do not overlap. What is left beside the leased ones is
// capacity - size(leased), summed over the moments, and all hits of any policy together fit into that sum. The most
// that intervals can save within it is a knapsack problem; the bound drops that they have to fit at every single
// moment. With fractions allowed the best solution of a knapsack is to take the densest first, cost / (size * (d - 1)),
// and of the last one a part; and allowing fractions can only save more. A first request of a model has no interval, so
// it is always paid.
//
// The paper's caches may refuse an object, so there d counts instead of d - 1, within capacity * N: a lower bound as
// well, and a weaker one.
#include "cachesim/bounds.h"

#include "cachesim/reuses.h"

namespace minerva::cachesim {
namespace {}  // namespace

double pfoo_lower_bound_s(const Trace& trace, const World& world, Bytes capacity) {
  double bound_s = 0;
  double left = 0;  // bytes * moments, beside the leased models
  for (const TraceRequest& request : trace.requests) {
    const WorldModel& facts = world.models[request.model];
    bound_s += in_seconds(facts.reload);
    left += static_cast<double>((capacity - facts.size).count());
  }
  for (const Reuse& reuse : reuses_by_worth(trace, world)) {
    if (reuse.space_time > left) {
      bound_s -= reuse.saves_s * left / reuse.space_time;
      break;
    }
    left -= reuse.space_time;
    bound_s -= reuse.saves_s;
  }
  return bound_s;
}

double infinite_memory_s(const Trace& trace, const World& world) {
  // Every model of a trace has a request.
  double sum_s = 0;
  for (std::size_t i = 0; i < trace.models.size(); ++i) sum_s += in_seconds(world.models[i].reload);
  return sum_s;
}

}  // namespace minerva::cachesim
