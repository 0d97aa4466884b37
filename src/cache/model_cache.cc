#include "minerva/cache/model_cache.h"

#include <cmath>

#include "minerva/base/check.h"

namespace minerva {

ModelCache::ModelCache(std::unique_ptr<EvictionPolicy> policy) : policy_(std::move(policy)) {
  check(policy_ != nullptr, "ModelCache needs a policy");
}

void ModelCache::insert(const ModelId& id, Bytes footprint, TimePoint now, bool preloaded) {
  see(now);
  const auto [it, inserted] = slots_.try_emplace(id);
  check(inserted, "ModelCache::insert of a resident model");
  Slot& slot = it->second;
  slot.entry = CacheEntry{.id = id, .footprint = footprint, .insert_tick = ++tick_, .inserted = now};
  slot.entry.preloaded = preloaded;
  by_insertion_.emplace(slot.entry.insert_tick, &slot);
  slot.rank = policy_->rank(slot.entry, now_);
  rerank(slot);
}

void ModelCache::use(const ModelId& id, TimePoint now) {
  Slot& slot = resident(id);
  ++slot.entry.access_count;
  see(now);
  policy_->used(slot.entry, now_);
  mark_used(slot, now);
}

void ModelCache::touch(const ModelId& id, TimePoint now) { mark_used(resident(id), now); }

void ModelCache::reinsert(const ModelId& id, TimePoint now) {
  see(now);
  Slot& slot = resident(id);
  victims_.erase(slot.rank);
  by_insertion_.erase(slot.entry.insert_tick);
  slot.entry.insert_tick = ++tick_;
  slot.entry.inserted = now;
  by_insertion_.emplace(slot.entry.insert_tick, &slot);
  slot.rank = policy_->rank(slot.entry, now_);
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
  for (auto& [id, slot] : slots_) rerank(slot);
}

void ModelCache::count_eviction(const ModelId& id) {
  ++stats_.evictions;
  policy_->evicted(resident(id).entry);
}

void ModelCache::remove(const ModelId& id, bool evicted) {
  const Slot& slot = resident(id);
  victims_.erase(slot.rank);
  by_insertion_.erase(slot.entry.insert_tick);
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

bool ModelCache::contains(const ModelId& id) const { return slots_.contains(id); }

const CacheEntry* ModelCache::find(const ModelId& id) const {
  const auto it = slots_.find(id);
  return it == slots_.end() ? nullptr : &it->second.entry;
}

std::vector<ModelId> ModelCache::list() const {
  std::vector<ModelId> ids;
  ids.reserve(by_insertion_.size());
  for (const auto& [tick, slot] : by_insertion_) ids.push_back(slot->entry.id);
  return ids;
}

std::size_t ModelCache::size() const { return slots_.size(); }

void ModelCache::visit_victims(const std::function<bool(const CacheEntry&)>& visit) const {
  for (const auto& [rank, slot] : victims_) {
    if (!visit(slot->entry)) return;
  }
}

const CacheEntry* ModelCache::victim() const { return victims_.empty() ? nullptr : &victims_.begin()->second->entry; }

EvictionRank ModelCache::rank(const ModelId& id) const { return resident(id).rank; }

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

void ModelCache::rerank(Slot& slot) {
  victims_.erase(slot.rank);
  slot.rank = policy_->rank(slot.entry, now_);
  // A NaN would break the order of the map. Two equal ranks cannot be, as the insert_tick is part of it.
  check(!std::isnan(slot.rank.value) && slot.rank.insert_tick == slot.entry.insert_tick,
        "an eviction policy returned a rank that is not a strict order");
  if (slot.evictable) victims_.emplace(slot.rank, &slot);
}

}  // namespace minerva
