// Least recently used: the model whose last use is longest ago leaves first. Models that were never used leave before
// all others, in the order in which they came.
#include <fmt/format.h>

#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

class LruPolicy final : public EvictionPolicy {
 public:
  std::string_view name() const override { return "lru"; }
  std::unique_ptr<EvictionPolicy> clone() const override { return std::make_unique<LruPolicy>(*this); }
  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    return {.value = static_cast<double>(entry.last_use_tick), .insert_tick = entry.insert_tick};
  }
  std::string standing(const CacheEntry& entry, TimePoint now) const override {
    if (entry.last_use_tick == 0) return "never used";
    return fmt::format("last used {} ago", in_words(now - entry.last_used));
  }
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_lru_policy() { return std::make_unique<LruPolicy>(); }

}  // namespace minerva
