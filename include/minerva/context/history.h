// History: what ContextManager counted and learned, and who was resident, for another one that takes its place later.
//
// Times are on the core's clock: who keeps a History beyond a process moves them onto the next one's.
// Threading: plain values.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/cache/cache_stats.h"
#include "minerva/cache/eviction_policy.h"

namespace minerva {

struct ModelHistory {
  ModelId id;
  std::optional<CacheEntry> resident{};  // as it was; it is to come back
  std::optional<bool> pinned{};          // by an operator, other than the catalog has it
  std::optional<Duration> load_time{};
  std::optional<Duration> wake_time{};
  std::optional<Duration> service_time{};
  std::optional<Learned> learned{};  // by the policy

  bool operator==(const ModelHistory&) const = default;
};

struct History {
  CacheStats stats;
  std::string policy{};                        // whose `learned` these are
  std::optional<Learned> learned{};            // by the policy, of no single model
  std::optional<Duration> load_time_of_any{};  // moving average
  std::vector<ModelHistory> models{};  // those in the catalog: resident ones first, the most wanted of all first

  bool operator==(const History&) const = default;
};

}  // namespace minerva
