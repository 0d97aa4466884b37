// First in, first out: the model that has been resident longest leaves first, however much it is used.
#include <fmt/format.h>

#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

class FifoPolicy final : public EvictionPolicy {
 public:
  std::string_view name() const override { return "fifo"; }
  std::unique_ptr<EvictionPolicy> clone() const override { return std::make_unique<FifoPolicy>(*this); }
  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    return {.value = static_cast<double>(entry.insert_tick), .insert_tick = entry.insert_tick};
  }
  std::string standing(const CacheEntry& entry, TimePoint now) const override {
    return fmt::format("loaded {} ago", in_words(now - entry.inserted));
  }
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_fifo_policy() { return std::make_unique<FifoPolicy>(); }

}  // namespace minerva
