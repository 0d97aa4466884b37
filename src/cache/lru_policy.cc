// Least recently used: the one whose last use is longest ago goes first; never used ones before all others, in the
// order they came.
#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

class LruPolicy final : public EvictionPolicy {
 public:
  std::string_view name() const override { return "lru"; }
  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    return {.value = 0, .tiebreak = entry.last_use_tick, .insert_tick = entry.insert_tick};
  }
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_lru_policy() { return std::make_unique<LruPolicy>(); }

}  // namespace minerva
