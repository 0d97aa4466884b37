// History: what one ContextManager counted and learned, and which models were resident, for the ContextManager that
// takes its place later.
//
// Times are on the core's clock: whoever keeps a History beyond a process moves them onto the next process's clock.
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
  std::optional<CacheEntry> resident{};  // set if the model was resident: its entry, with which it should come back
  std::optional<bool> pinned{};          // set if an operator pinned or unpinned it against the catalog
  std::optional<Duration> load_time{};
  std::optional<Duration> wake_time{};
  std::optional<Duration> service_time{};
  std::optional<Learned> learned{};  // what the policy learned of this model

  bool operator==(const ModelHistory&) const = default;
};

struct History {
  CacheStats stats;
  std::string policy{};                        // the name of the policy that learned
  std::optional<Learned> learned{};            // what the policy learned of no single model
  std::optional<Duration> load_time_of_any{};  // moving average
  // those in the catalog: resident ones first, and among these the most wanted first
  std::vector<ModelHistory> models{};

  bool operator==(const History&) const = default;
};

}  // namespace minerva
