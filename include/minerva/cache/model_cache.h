// ModelCache: which models are resident, in which order they should leave, and the statistics about that.
//
// Pure bookkeeping: no engine, no memory limit, no clock. ContextManager decides when a model has to leave.
// Threading: one thread. Ownership: entries are values; a reference to one is valid until the entry is removed.
#pragma once

#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "minerva/base/clock.h"
#include "minerva/cache/cache_stats.h"
#include "minerva/cache/eviction_policy.h"

namespace minerva {

class ModelCache {
 public:
  // Requires: policy is not null. Default: LRU.
  explicit ModelCache(std::unique_ptr<EvictionPolicy> policy = make_lru_policy());
  // The copy has a policy of its own that remembers the same. O(n).
  ModelCache(const ModelCache& other);
  ModelCache(ModelCache&&) noexcept = default;
  ModelCache& operator=(const ModelCache&) = delete;
  ModelCache& operator=(ModelCache&&) noexcept = default;
  ~ModelCache() = default;

  // `id` became resident and counts as never used: use() or touch() follows if somebody wanted it. `preloaded` is the
  // entry's label until its first use. Requires: not resident.
  void insert(const ModelId& id, Bytes footprint, TimePoint now, bool preloaded);
  // The model was resident in an earlier life, from which take_over() continues. Its entry continues too, with its uses
  // and its place in the order of insertion. Requires: resident.
  void resume(const ModelId& id, const CacheEntry& before);
  // A lease was granted: counts for recency and frequency. Requires: resident.
  void use(const ModelId& id, TimePoint now);
  // An explicit load: policies take it for a use, but it counts no access. Requires: resident.
  void expect_use(const ModelId& id, TimePoint now);
  // A lease ended: counts for recency only. Requires: resident.
  void touch(const ModelId& id, TimePoint now);
  // The model was parked, so out of memory without having left, and is back: for the order of insertion it comes now.
  // Requires: resident.
  void reinsert(const ModelId& id, TimePoint now);
  // How much the model holds now, how long it would take to have it back, and whether it is parked. Requires: resident.
  void update(const ModelId& id, Bytes footprint, Duration reload_cost, bool parked);
  // Call this before choosing victims. O(n) if the policy's ranks change with time; otherwise it does nothing.
  void refresh(TimePoint now);
  // The model made room without leaving: it is parked. Counts as an eviction. Requires: resident.
  void count_eviction(const ModelId& id);
  // The model leaves. `evicted`: it leaves to make room, and counts as an eviction. Requires: resident.
  void remove(const ModelId& id, bool evicted);
  // Says whether the model may be chosen as a victim: not while it is leased, pinned or stopping. Requires: resident.
  void set_evictable(const ModelId& id, bool evictable);

  // One lookup for each accepted inference request.
  void count_lookup(bool hit);
  void count_preload();
  void clear_stats() { stats_ = {}; }

  // Whether nothing was ever resident.
  bool fresh() const { return tick_ == 0; }
  // Continues where an earlier cache ended: with its statistics, and after the latest tick of its entries.
  // Requires: fresh.
  void take_over(const CacheStats& stats, std::uint64_t last_tick);
  // Forgets which models were used, when and how often; the policy forgets too.
  void forget_uses();
  EvictionPolicy& policy() { return *policy_; }
  const EvictionPolicy& policy() const { return *policy_; }

  bool contains(const ModelId& id) const;
  // nullptr if not resident.
  const CacheEntry* find(const ModelId& id) const;
  // Every resident id, in the order in which they came.
  std::vector<ModelId> list() const;
  std::size_t size() const;
  // Visits the evictable entries, the first victim first as of the last refresh(), until `visit` returns false. O(log
  // n) for each.
  void visit_victims(const std::function<bool(const CacheEntry&)>& visit) const;
  // The first victim; nullptr if no entry may be evicted.
  const CacheEntry* victim() const;
  // The policy's rank of `id`, evictable or not: the lowest leaves first. Requires: resident.
  EvictionRank rank(const ModelId& id) const;
  // See EvictionPolicy::standing. Requires: resident.
  std::string standing(const ModelId& id, TimePoint now) const;
  // See EvictionPolicy::demand, as of the last refresh(). Requires: resident.
  std::optional<double> demand(const ModelId& id) const;

  const CacheStats& stats() const { return stats_; }
  std::string_view policy_name() const { return policy_->name(); }

 private:
  struct Slot {
    CacheEntry entry;
    bool evictable = true;
    EvictionRank rank;
    std::size_t place = kNowhere;                  // in victims_
    std::list<const Slot*>::iterator insertion{};  // in by_insertion_
  };
  // The heap has four children for each node, which keeps ranks close together in memory: with a million entries a tree
  // takes three times as long.
  struct Victim {
    EvictionRank rank;
    Slot* slot;
  };
  static constexpr std::size_t kNowhere = SIZE_MAX;

  Slot& resident(const ModelId& id);
  const Slot& resident(const ModelId& id) const;
  void see(TimePoint now);
  void mark_used(Slot& slot, TimePoint now);
  void rerank(Slot& slot);
  EvictionRank rank_of(const Slot& slot) const;
  // The heap.
  void set_victim(Slot& slot);     // after a change of its rank or of whether it is evictable
  void remove_victim(Slot& slot);  // does nothing if it is not in the heap
  void rise(std::size_t place);
  void sink(std::size_t place);
  void put(std::size_t place, const Victim& victim);

  std::unique_ptr<EvictionPolicy> policy_;
  std::unordered_map<ModelId, Slot> slots_;  // nodes are stable: the two indexes below point into them
  std::list<const Slot*> by_insertion_;      // in the order in which they came
  std::vector<Victim> victims_;              // the evictable ones: a heap, the first victim on top
  std::uint64_t tick_ = 0;
  TimePoint now_{};        // the latest time seen
  TimePoint refreshed_{};  // when all ranks were asked for last
  CacheStats stats_;
};

}  // namespace minerva
