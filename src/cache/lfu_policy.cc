// Least frequently used: the model with the fewest leases since it became resident leaves first; among equals the one
// that was used longest ago.
#include <fmt/format.h>

#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

class LfuPolicy final : public EvictionPolicy {
 public:
  std::string_view name() const override { return "lfu"; }
  std::unique_ptr<EvictionPolicy> clone() const override { return std::make_unique<LfuPolicy>(*this); }
  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    return {.value = static_cast<double>(entry.access_count),
            .tiebreak = entry.last_use_tick,
            .insert_tick = entry.insert_tick};
  }
  std::string standing(const CacheEntry& entry, TimePoint now) const override {
    if (entry.last_use_tick == 0) return "never used";
    return fmt::format("used {} times since it is loaded, last {} ago", entry.access_count,
                       in_words(now - entry.last_used));
  }
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_lfu_policy() { return std::make_unique<LfuPolicy>(); }

}  // namespace minerva
