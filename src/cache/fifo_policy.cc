// First in, first out: the one that has been resident longest goes first, however it is used.
#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

class FifoPolicy final : public EvictionPolicy {
 public:
  std::string_view name() const override { return "fifo"; }
  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    return {.value = 0, .tiebreak = entry.insert_tick, .insert_tick = entry.insert_tick};
  }
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_fifo_policy() { return std::make_unique<FifoPolicy>(); }

}  // namespace minerva
