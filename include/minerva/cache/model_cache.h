// ModelCache: which models are resident, in what order they should leave, and the statistics of it.
//
// Pure bookkeeping: no engine, no memory limit, no clock. ContextManager decides when something must leave.
// Threading: one thread. Ownership: entries are values, references to them are valid until the entry is removed.
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
  // A copy has a policy of its own, which remembers the same. O(n).
  ModelCache(const ModelCache& other);
  ModelCache(ModelCache&&) noexcept = default;
  ModelCache& operator=(const ModelCache&) = delete;
  ModelCache& operator=(ModelCache&&) noexcept = default;
  ~ModelCache() = default;

  // `id` became resident, never used so far: use() or touch() follow if somebody wanted it. `preloaded` is the entry's
  // label until its first use. Requires: not resident.
  void insert(const ModelId& id, Bytes footprint, TimePoint now, bool preloaded);
  // It was resident in an earlier life, which take_over() told of, and goes on as it was: with its uses and its place
  // in the order of insertion. Requires: resident.
  void resume(const ModelId& id, const CacheEntry& before);
  // A lease was granted: recency and frequency. Requires: resident.
  void use(const ModelId& id, TimePoint now);
  // An explicit load: to policies a use, but no access is counted. Requires: resident.
  void expect_use(const ModelId& id, TimePoint now);
  // Recency only: a lease just ended. Requires: resident.
  void touch(const ModelId& id, TimePoint now);
  // It was out of memory without having left (parked), and is back: the order of insertion counts from now.
  // Requires: resident.
  void reinsert(const ModelId& id, TimePoint now);
  // What it holds now, what it would take to have it back, and whether it is parked. Requires: resident.
  void update(const ModelId& id, Bytes footprint, Duration reload_cost, bool parked);
  // Victims are to be chosen at `now`. O(n) if the policy's ranks change with time, nothing otherwise.
  void refresh(TimePoint now);
  // It made room without leaving: it is parked. Counted like one that leaves. Requires: resident.
  void count_eviction(const ModelId& id);
  // Leaves; `evicted`: to make room, which is counted. Requires: resident.
  void remove(const ModelId& id, bool evicted);
  // An entry that may not be evicted (leased, pinned, stopping) is kept out of victim choice. Requires: resident.
  void set_evictable(const ModelId& id, bool evictable);

  // One lookup per accepted inference request.
  void count_lookup(bool hit);
  void count_preload();
  void clear_stats() { stats_ = {}; }

  // Nothing was resident yet.
  bool fresh() const { return tick_ == 0; }
  // Goes on where an earlier one ended: with its statistics, and after the latest tick of its entries. Requires: fresh.
  void take_over(const CacheStats& stats, std::uint64_t last_tick);
  // Who was used, when and how often, by the policy too.
  void forget_uses();
  EvictionPolicy& policy() { return *policy_; }
  const EvictionPolicy& policy() const { return *policy_; }

  bool contains(const ModelId& id) const;
  // nullptr if not resident.
  const CacheEntry* find(const ModelId& id) const;
  // Every resident id, in the order they came.
  std::vector<ModelId> list() const;
  std::size_t size() const;
  // Evictable entries, first victim first as of the last refresh(), until `visit` returns false. O(log n) for each.
  void visit_victims(const std::function<bool(const CacheEntry&)>& visit) const;
  // The first victim, or nullptr when nothing may be evicted.
  const CacheEntry* victim() const;
  // Where the policy puts `id`, evictable or not: the lower goes first. Requires: resident.
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
  // A heap of four children each keeps ranks together in memory: with a million entries a tree takes three times as
  // long.
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
  void set_victim(Slot& slot);     // its rank or whether it is evictable changed
  void remove_victim(Slot& slot);  // if it is one
  void rise(std::size_t place);
  void sink(std::size_t place);
  void put(std::size_t place, const Victim& victim);

  std::unique_ptr<EvictionPolicy> policy_;
  std::unordered_map<ModelId, Slot> slots_;  // nodes are stable: the two indexes below point into them
  std::list<const Slot*> by_insertion_;      // in the order they came
  std::vector<Victim> victims_;              // the evictable ones: a heap, the first victim on top
  std::uint64_t tick_ = 0;
  TimePoint now_{};        // the latest seen
  TimePoint refreshed_{};  // all ranks
  CacheStats stats_;
};

}  // namespace minerva
