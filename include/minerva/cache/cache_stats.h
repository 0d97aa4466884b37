// CacheStats: the counters of ModelCache. Plain values.
#pragma once

#include <cstdint>

namespace minerva {

struct CacheStats {
  std::uint64_t hits = 0;       // lookups answered by a resident model
  std::uint64_t misses = 0;     // lookups that needed a load, also one that was already going on
  std::uint64_t evictions = 0;  // models parked or stopped to make room (not those that an operator parks or unloads)
  std::uint64_t preloads = 0;   // models that became resident by a preload

  bool operator==(const CacheStats&) const = default;
  // 100 * hits / (hits + misses); 0 when there was no lookup. Percent.
  double hit_rate() const {
    const std::uint64_t lookups = hits + misses;
    return lookups == 0 ? 0.0 : 100.0 * static_cast<double>(hits) / static_cast<double>(lookups);
  }
};

}  // namespace minerva
