#include "minerva/cache/model_cache.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "minerva/base/check.h"

namespace minerva {
namespace {

constexpr std::size_t kChildren = 4;
constexpr std::size_t first_child(std::size_t place) { return place * kChildren + 1; }

}  // namespace

ModelCache::ModelCache(std::unique_ptr<EvictionPolicy> policy) : policy_(std::move(policy)) {
  check(policy_ != nullptr, "ModelCache needs a policy");
}

ModelCache::ModelCache(const ModelCache& other)
    : policy_(other.policy_->clone()),
      slots_(other.slots_),
      victims_(other.victims_),
      tick_(other.tick_),
      now_(other.now_),
      refreshed_(other.refreshed_),
      stats_(other.stats_) {
  // Both indexes point to slots, and each slot has its place in by_insertion_. All of them must point into this copy.
  for (const Slot* theirs : other.by_insertion_) {
    Slot& slot = slots_.at(theirs->entry.id);
    slot.insertion = by_insertion_.insert(by_insertion_.end(), &slot);
  }
  for (Victim& victim : victims_) victim.slot = &slots_.at(victim.slot->entry.id);
}

void ModelCache::insert(const ModelId& id, Bytes footprint, TimePoint now, bool preloaded) {
  see(now);
  const auto [it, inserted] = slots_.try_emplace(id);
  check(inserted, "ModelCache::insert of a resident model");
  Slot& slot = it->second;
  slot.entry = CacheEntry{.id = id, .footprint = footprint, .insert_tick = ++tick_, .inserted = now};
  slot.entry.preloaded = preloaded;
  slot.insertion = by_insertion_.insert(by_insertion_.end(), &slot);
  rerank(slot);
}

void ModelCache::resume(const ModelId& id, const CacheEntry& before) {
  Slot& slot = resident(id);
  slot.entry.insert_tick = before.insert_tick;
  slot.entry.inserted = before.inserted;
  slot.entry.last_use_tick = before.last_use_tick;
  slot.entry.last_used = before.last_used;
  slot.entry.access_count = before.access_count;
  rerank(slot);
}

void ModelCache::use(const ModelId& id, TimePoint now) {
  ++resident(id).entry.access_count;
  expect_use(id, now);
}

void ModelCache::expect_use(const ModelId& id, TimePoint now) {
  Slot& slot = resident(id);
  see(now);
  policy_->used(slot.entry, now_);
  mark_used(slot, now);
}

void ModelCache::touch(const ModelId& id, TimePoint now) { mark_used(resident(id), now); }

void ModelCache::reinsert(const ModelId& id, TimePoint now) {
  see(now);
  Slot& slot = resident(id);
  slot.entry.insert_tick = ++tick_;
  slot.entry.inserted = now;
  by_insertion_.splice(by_insertion_.end(), by_insertion_, slot.insertion);
  rerank(slot);
}

void ModelCache::update(const ModelId& id, Bytes footprint, Duration reload_cost, bool parked) {
  Slot& slot = resident(id);
  slot.entry.footprint = footprint;
  slot.entry.reload_cost = reload_cost;
  slot.entry.parked = parked;
  rerank(slot);
}

void ModelCache::refresh(TimePoint now) {
  if (!policy_->changes_with_time() || now == refreshed_) return;
  see(now);
  refreshed_ = now;
  for (auto& [id, slot] : slots_) slot.rank = rank_of(slot);
  for (Victim& victim : victims_) victim.rank = victim.slot->rank;
  for (std::size_t place = victims_.size(); place-- > 0;) sink(place);
}

void ModelCache::count_eviction(const ModelId& id) {
  ++stats_.evictions;
  policy_->evicted(resident(id).entry);
}

void ModelCache::remove(const ModelId& id, bool evicted) {
  Slot& slot = resident(id);
  remove_victim(slot);
  by_insertion_.erase(slot.insertion);
  if (evicted) count_eviction(id);
  slots_.erase(id);
}

void ModelCache::set_evictable(const ModelId& id, bool evictable) {
  Slot& slot = resident(id);
  slot.evictable = evictable;
  rerank(slot);
}

void ModelCache::count_lookup(bool hit) { ++(hit ? stats_.hits : stats_.misses); }

void ModelCache::count_preload() { ++stats_.preloads; }

void ModelCache::take_over(const CacheStats& stats, std::uint64_t last_tick) {
  check(fresh(), "a cache that was used takes another one over");
  stats_ = stats;
  tick_ = last_tick;
}

void ModelCache::forget_uses() {
  policy_->forget();
  for (auto& [id, slot] : slots_) {
    slot.entry.last_use_tick = 0;
    slot.entry.last_used = {};
    slot.entry.access_count = 0;
    rerank(slot);
  }
}

bool ModelCache::contains(const ModelId& id) const { return slots_.contains(id); }

const CacheEntry* ModelCache::find(const ModelId& id) const {
  const auto it = slots_.find(id);
  return it == slots_.end() ? nullptr : &it->second.entry;
}

std::vector<ModelId> ModelCache::list() const {
  std::vector<ModelId> ids;
  ids.reserve(by_insertion_.size());
  for (const Slot* slot : by_insertion_) ids.push_back(slot->entry.id);
  return ids;
}

std::size_t ModelCache::size() const { return slots_.size(); }

void ModelCache::visit_victims(const std::function<bool(const CacheEntry&)>& visit) const {
  if (victims_.empty()) return;
  // The next victim is among the children of those that were visited.
  const auto later = [&](std::size_t a, std::size_t b) { return victims_[b].rank < victims_[a].rank; };
  std::vector<std::size_t> next = {0};
  while (!next.empty()) {
    std::pop_heap(next.begin(), next.end(), later);
    const std::size_t place = next.back();
    next.pop_back();
    if (!visit(victims_[place].slot->entry)) return;
    const std::size_t first = first_child(place);
    for (std::size_t child = first; child < std::min(first + kChildren, victims_.size()); ++child) {
      next.push_back(child);
      std::push_heap(next.begin(), next.end(), later);
    }
  }
}

const CacheEntry* ModelCache::victim() const { return victims_.empty() ? nullptr : &victims_.front().slot->entry; }

EvictionRank ModelCache::rank(const ModelId& id) const { return resident(id).rank; }

std::string ModelCache::standing(const ModelId& id, TimePoint now) const {
  return policy_->standing(resident(id).entry, now);
}

std::optional<double> ModelCache::demand(const ModelId& id) const { return policy_->demand(resident(id).entry, now_); }

ModelCache::Slot& ModelCache::resident(const ModelId& id) {
  const auto it = slots_.find(id);
  check(it != slots_.end(), "ModelCache: the model is not resident");
  return it->second;
}

const ModelCache::Slot& ModelCache::resident(const ModelId& id) const {
  const auto it = slots_.find(id);
  check(it != slots_.end(), "ModelCache: the model is not resident");
  return it->second;
}

void ModelCache::see(TimePoint now) { now_ = std::max(now_, now); }

void ModelCache::mark_used(Slot& slot, TimePoint now) {
  see(now);
  slot.entry.last_use_tick = ++tick_;
  slot.entry.last_used = now;
  slot.entry.preloaded = false;
  rerank(slot);
}

EvictionRank ModelCache::rank_of(const Slot& slot) const {
  const EvictionRank rank = policy_->rank(slot.entry, now_);
  // NaN would break the order. Two ranks cannot be equal, since insert_tick is part of the rank.
  check(!std::isnan(rank.value) && rank.insert_tick == slot.entry.insert_tick,
        "an eviction policy returned a rank that is not a strict order");
  return rank;
}

void ModelCache::rerank(Slot& slot) {
  slot.rank = rank_of(slot);
  set_victim(slot);
}

// ---- the heap ----

void ModelCache::set_victim(Slot& slot) {
  if (!slot.evictable) return remove_victim(slot);
  if (slot.place == kNowhere) {
    victims_.push_back({slot.rank, &slot});
    return rise(victims_.size() - 1);
  }
  const EvictionRank before = victims_[slot.place].rank;
  victims_[slot.place].rank = slot.rank;
  if (slot.rank < before) {
    rise(slot.place);
  } else if (before < slot.rank) {
    sink(slot.place);
  }
}

void ModelCache::remove_victim(Slot& slot) {
  const std::size_t place = std::exchange(slot.place, kNowhere);
  if (place == kNowhere) return;
  const Victim last = victims_.back();
  // Compares with the rank in the heap: the slot itself may have a newer one.
  const bool rises = last.rank < victims_[place].rank;
  victims_.pop_back();
  if (place == victims_.size()) return;
  put(place, last);
  if (rises) {
    rise(place);
  } else {
    sink(place);
  }
}

void ModelCache::put(std::size_t place, const Victim& victim) {
  victims_[place] = victim;
  victim.slot->place = place;
}

void ModelCache::rise(std::size_t place) {
  const Victim victim = victims_[place];
  while (place > 0) {
    const std::size_t parent = (place - 1) / kChildren;
    if (!(victim.rank < victims_[parent].rank)) break;
    put(place, victims_[parent]);
    place = parent;
  }
  put(place, victim);
}

void ModelCache::sink(std::size_t place) {
  const Victim victim = victims_[place];
  while (true) {
    const std::size_t first = first_child(place);
    if (first >= victims_.size()) break;
    std::size_t least = first;
    for (std::size_t child = first + 1; child < std::min(first + kChildren, victims_.size()); ++child) {
      if (victims_[child].rank < victims_[least].rank) least = child;
    }
    if (!(victims_[least].rank < victim.rank)) break;
    put(place, victims_[least]);
    place = least;
  }
  put(place, victim);
}

}  // namespace minerva
