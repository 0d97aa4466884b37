// A greedy plan: the most worthwhile reuse comes first, and each is taken if it still fits at every moment between its
// two requests. This is the feasible side of the bound in bounds.cc, which drops the "at every moment".
// Source: Berger et al. (see bounds.cc), PFOO-U, with a packing in place of flows in segments.
#include "cachesim/packing.h"

#include <algorithm>

#include "cachesim/reuses.h"

namespace minerva::cachesim {
namespace {

// What is taken at each moment. It can add to a range of moments, and find the most in a range. A segment tree: an
// addition stays at the node whose range it covers completely.
class Timeline {
 public:
  explicit Timeline(std::size_t moments) {
    while (leaves_ < moments) leaves_ *= 2;
    nodes_.resize(2 * leaves_);
  }

  void add(std::size_t first, std::size_t end, std::uint64_t bytes) { add(first, end, bytes, kRoot, 0, leaves_); }
  std::uint64_t most(std::size_t first, std::size_t end) const { return most(first, end, kRoot, 0, leaves_); }

 private:
  struct Node {
    std::uint64_t added = 0;  // to all nodes below
    std::uint64_t most = 0;   // the most below, with what was added here
  };
  static constexpr std::size_t kRoot = 1;

  // `node` covers [low, high).
  void add(std::size_t first, std::size_t end, std::uint64_t bytes, std::size_t node, std::size_t low,
           std::size_t high) {
    if (end <= low || high <= first) return;
    Node& here = nodes_[node];
    if (first <= low && high <= end) {
      here.added += bytes;
      here.most += bytes;
      return;
    }
    const std::size_t middle = (low + high) / 2;
    add(first, end, bytes, 2 * node, low, middle);
    add(first, end, bytes, 2 * node + 1, middle, high);
    here.most = here.added + std::max(nodes_[2 * node].most, nodes_[2 * node + 1].most);
  }

  std::uint64_t most(std::size_t first, std::size_t end, std::size_t node, std::size_t low, std::size_t high) const {
    if (end <= low || high <= first) return 0;
    if (first <= low && high <= end) return nodes_[node].most;
    const std::size_t middle = (low + high) / 2;
    return nodes_[node].added +
           std::max(most(first, end, 2 * node, low, middle), most(first, end, 2 * node + 1, middle, high));
  }

  std::size_t leaves_ = 1;
  std::vector<Node> nodes_;
};

}  // namespace

std::vector<bool> plan_hits(const Trace& trace, const World& world, Bytes capacity) {
  Timeline taken(trace.requests.size());
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    taken.add(i, i + 1, world.models[trace.requests[i].model].size.count());
  }
  std::vector<bool> hits(trace.requests.size());
  for (const Reuse& reuse : reuses_by_worth(trace, world)) {
    const std::uint64_t size = world.models[reuse.model].size.count();
    if (taken.most(reuse.from + 1, reuse.to) + size > capacity.count() && reuse.moments() > 0) continue;
    taken.add(reuse.from + 1, reuse.to, size);
    hits[reuse.to] = true;
  }
  return hits;
}

}  // namespace minerva::cachesim
