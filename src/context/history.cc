// What outlives the process: what is given to be kept, what is taken from an earlier life, and what an operator wants
// forgotten.
//
// Who was resident comes back one at a time, in a place behind everybody's in line: it is started only while nobody
// waits for anything, it waits where others want in, and it is stopped while it loads if its memory is needed. So a
// restart costs those who ask now nothing but the disk's and the cores' time of one load.
#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "context/impl.h"
#include "context/planted_bug.h"

namespace minerva {
namespace {

constexpr std::uint64_t kBehindAll = UINT64_MAX - 1;

}  // namespace

// ---- given ----

std::vector<ModelId> ContextManager::Impl::most_wanted_first() const {
  std::vector<ModelId> ids = cache_.list();
  const auto wanted_more = [&](const ModelId& a, const ModelId& b) {
    const std::optional<double> demand_a = cache_.demand(a);
    const std::optional<double> demand_b = cache_.demand(b);
    if (demand_a && demand_b && *demand_a != *demand_b) return *demand_a > *demand_b;
    return cache_.rank(b) < cache_.rank(a);
  };
  std::sort(ids.begin(), ids.end(), wanted_more);
  return ids;
}

History ContextManager::Impl::history() const {
  History history{.stats = cache_.stats(),
                  .policy = std::string(cache_.policy_name()),
                  .learned = cache_.policy().learned({}),
                  .load_time_of_any = load_time_of_any_};
  const auto add = [&](const Model& m, std::optional<CacheEntry> resident) {
    if (!m.known) return;
    ModelHistory model{.id = m.id,
                       .resident = std::move(resident),
                       .pinned = m.pinned == m.pinned_by_catalog ? std::nullopt : std::optional(m.pinned),
                       .load_time = m.expected_load_time,
                       .wake_time = m.expected_wake_time,
                       .service_time = m.service_time,
                       .learned = cache_.policy().learned(m.id)};
    if (model != ModelHistory{.id = m.id}) history.models.push_back(std::move(model));
  };
  std::set<ModelId> added;
  for (const ModelId& id : most_wanted_first()) {
    const Model& m = models_.at(id);
    // A guess says what would be wanted next, and that was then.
    add(m, only_guessed(m) ? std::nullopt : std::optional(*cache_.find(id)));
    added.insert(id);
  }
  for (const ModelId& id : coming_back_) {
    const auto found = models_.find(id);
    if (found == models_.end() || !added.insert(id).second) continue;
    const Model& m = found->second;
    const bool loads = m.state == ModelState::kLoading && comes_back_unasked(m);
    add(m, loads && !draining_ ? std::nullopt : m.past);
  }
  for (const auto& [id, m] : models_) {
    if (!added.contains(id)) add(m, std::nullopt);
  }
  return history;
}

void ContextManager::Impl::remember_residents() {
  const std::vector<ModelId> ids = most_wanted_first();
  for (const ModelId& id : ids) {
    if (!only_guessed(models_.at(id))) models_.at(id).past = *cache_.find(id);
  }
  coming_back_.insert(coming_back_.begin(), ids.begin(), ids.end());
}

// ---- taken ----

void ContextManager::Impl::on(const HistoryRestored& event) {
  if (!cache_.fresh()) return;
  const History& history = event.history;
  std::uint64_t last_tick = 0;
  for (const ModelHistory& model : history.models) {
    if (model.resident) last_tick = std::max({last_tick, model.resident->insert_tick, model.resident->last_use_tick});
  }
  cache_.take_over(history.stats, last_tick);
  load_time_of_any_ = history.load_time_of_any;
  const bool same_policy = history.policy == cache_.policy_name();
  if (same_policy && history.learned) cache_.policy().learn({}, *history.learned);
  // Those who were much in use for a while are less so after a long time without the daemon. Equal ones keep their
  // order.
  std::multimap<double, ModelId, std::greater<>> by_demand;
  for (const ModelHistory& model : history.models) {
    Model* const m = find_known(model.id);
    if (m == nullptr) continue;
    if (model.pinned) m->pinned = *model.pinned;
    m->expected_load_time = model.load_time;
    m->expected_wake_time = model.wake_time;
    m->service_time = model.service_time;
    if (same_policy && model.learned) cache_.policy().learn(m->id, *model.learned);
    if (!model.resident || !event.bring_back || draining_) continue;
    m->past = model.resident;
    by_demand.emplace(cache_.policy().demand(*m->past, now_).value_or(0), m->id);
  }
  for (const auto& [demand, id] : by_demand) coming_back_.push_back(id);
}

void ContextManager::Impl::let_go(Model& m) {
  m.eager.reset();
  m.past.reset();
}

bool ContextManager::Impl::comes_back_unasked(const Model& m) const {
  return m.eager == kBehindAll && queue_.lines(m.id).wanting() == 0;
}

void ContextManager::Impl::bring_back() {
  if (draining_) return;
  while (!coming_back_.empty()) {
    const auto found = models_.find(coming_back_.front());
    Model* const m = found == models_.end() ? nullptr : &found->second;
    if (m != nullptr && m->past && m->state != ModelState::kCold) return;  // under way, be it for somebody who asked
    if (m != nullptr && m->past) {
      const TimePoint active = m->past->last_use_tick > 0 ? m->past->last_used : m->past->inserted;
      const bool expired = m->unload_ttl > Duration::zero() && now_ >= after(active, m->unload_ttl);
      if (!expired && !m->breaker.open(now_)) {
        const bool asked = queue_.wanting() > 0 && !planted_bug(PlantedBug::kComesBackFirst);
        if (pressure_ || asked) return;
        m->eager = kBehindAll;
        return;
      }
      m->past.reset();
    }
    coming_back_.pop_front();
  }
}

bool ContextManager::Impl::stop_coming_back() {
  if (coming_back_.empty()) return false;
  const auto found = models_.find(coming_back_.front());
  if (found == models_.end()) return false;
  Model& m = found->second;
  if (m.state != ModelState::kLoading || !comes_back_unasked(m)) return false;
  stop(m, "it was coming back after the restart, and its memory is wanted by who asked");
  return true;
}

// ---- forgotten ----

void ContextManager::Impl::on(const ClearRequested& event) {
  if (event.stats) cache_.clear_stats();
  if (event.history) {
    load_time_of_any_.reset();
    predictor_ = Predictor();
    asked_last_.reset();
    on_paper_.clear();
    for (auto& [id, m] : models_) {
      // Its idle time goes on.
      if (m.resident()) m.hot_since = idle_since(m);
      if (m.past) m.past->access_count = m.past->last_use_tick = 0;
      m.expected_load_time.reset();
      m.expected_wake_time.reset();
      m.service_time.reset();
    }
    cache_.forget_uses();
    for (const auto& [id, m] : models_) {
      if (m.resident()) refresh_entry(m);
    }
  }
  if (event.images) {
    for (auto& [id, m] : models_) {
      if (m.state == ModelState::kParked && idle(m)) stop(m, "its image was cleared by an operator");
    }
  }
}

}  // namespace minerva
