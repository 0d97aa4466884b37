// What outlives the process: what the core gives to be kept, what it takes from an earlier life, and what an operator
// wants forgotten.
//
// The models that were resident come back one at a time, with a place in line behind all others. Such a load starts
// only while nobody waits for anything, waits while other models want in, and is stopped if its memory is needed. So a
// restart costs the requests of the new life only what one load takes of the disk and the cores.
#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <utility>

#include "context/impl.h"
#include "context/planted_bug.h"

namespace minerva {

// ---- given ----

std::vector<ModelId> ContextManager::Impl::most_wanted_first() const {
  std::vector<ModelId> ids = state_.cache.list();
  const auto wanted_more = [&](const ModelId& a, const ModelId& b) {
    const std::optional<double> demand_a = state_.cache.demand(a);
    const std::optional<double> demand_b = state_.cache.demand(b);
    if (demand_a && demand_b && *demand_a != *demand_b) return *demand_a > *demand_b;
    return state_.cache.rank(b) < state_.cache.rank(a);
  };
  std::sort(ids.begin(), ids.end(), wanted_more);
  return ids;
}

History ContextManager::Impl::history() const {
  History history{.stats = state_.cache.stats(),
                  .policy = std::string(state_.cache.policy_name()),
                  .learned = state_.cache.policy().learned({}),
                  .load_time_of_any = state_.load_time_of_any};
  const auto add = [&](const Model& m, std::optional<CacheEntry> resident) {
    if (!m.known) return;
    ModelHistory model{.id = m.id,
                       .resident = std::move(resident),
                       .pinned = m.pinned == m.pinned_by_catalog ? std::nullopt : std::optional(m.pinned),
                       .load_time = m.expected_load_time,
                       .wake_time = m.expected_wake_time,
                       .service_time = m.service_time,
                       .learned = state_.cache.policy().learned(m.id)};
    if (model != ModelHistory{.id = m.id}) history.models.push_back(std::move(model));
  };
  std::set<ModelId> added;
  for (const ModelId& id : most_wanted_first()) {
    const Model& m = state_.models.at(id);
    // A guess said what would be wanted next at that time, which is over.
    add(m, state_.only_guessed(m) ? std::nullopt : std::optional(*state_.cache.find(id)));
    added.insert(id);
  }
  for (const ModelId& id : state_.coming_back) {
    const auto found = state_.models.find(id);
    if (found == state_.models.end() || !added.insert(id).second) continue;
    const Model& m = found->second;
    const bool loads = m.state() == ModelState::kLoading && state_.comes_back_unasked(m);
    add(m, loads && !state_.draining ? std::nullopt : m.past);
  }
  for (const auto& [id, m] : state_.models) {
    if (!added.contains(id)) add(m, std::nullopt);
  }
  return history;
}

void ContextManager::Impl::remember_residents() {
  const std::vector<ModelId> ids = most_wanted_first();
  for (const ModelId& id : ids) {
    if (!state_.only_guessed(state_.models.at(id))) state_.models.at(id).past = *state_.cache.find(id);
  }
  state_.coming_back.insert(state_.coming_back.begin(), ids.begin(), ids.end());
}

// ---- taken ----

void ContextManager::Impl::on(const HistoryRestored& event) {
  if (!state_.cache.fresh()) return;
  const History& history = event.history;
  std::uint64_t last_tick = 0;
  for (const ModelHistory& model : history.models) {
    if (model.resident) last_tick = std::max({last_tick, model.resident->insert_tick, model.resident->last_use_tick});
  }
  state_.cache.take_over(history.stats, last_tick);
  state_.load_time_of_any = history.load_time_of_any;
  const bool same_policy = history.policy == state_.cache.policy_name();
  if (same_policy && history.learned) state_.cache.policy().learn({}, *history.learned);
  // A model that was much used for a while is less wanted after a long time without the daemon. Equal ones keep their
  // order.
  std::multimap<double, ModelId, std::greater<>> by_demand;
  for (const ModelHistory& model : history.models) {
    Model* const m = find_known(model.id);
    if (m == nullptr) continue;
    if (model.pinned) m->pinned = *model.pinned;
    m->expected_load_time = model.load_time;
    m->expected_wake_time = model.wake_time;
    m->service_time = model.service_time;
    if (same_policy && model.learned) state_.cache.policy().learn(m->id, *model.learned);
    if (!model.resident || !event.bring_back || state_.draining) continue;
    m->past = model.resident;
    by_demand.emplace(state_.cache.policy().demand(*m->past, state_.now).value_or(0), m->id);
  }
  for (const auto& [demand, id] : by_demand) state_.coming_back.push_back(id);
}

void ContextManager::Impl::let_go(Model& m) {
  m.eager.reset();
  m.past.reset();
}

void ContextManager::Impl::bring_back() {
  if (state_.draining) return;
  while (!state_.coming_back.empty()) {
    const auto found = state_.models.find(state_.coming_back.front());
    Model* const m = found == state_.models.end() ? nullptr : &found->second;
    // it is on its way already, possibly for a request
    if (m != nullptr && m->past && m->state() != ModelState::kCold) return;
    if (m != nullptr && m->past) {
      const TimePoint active = m->past->last_use_tick > 0 ? m->past->last_used : m->past->inserted;
      const bool expired = m->unload_ttl > Duration::zero() && state_.now >= after(active, m->unload_ttl);
      if (!expired && !m->breaker.open(state_.now)) {
        const bool asked = state_.queue.wanting() > 0 && !planted_bug(PlantedBug::kComesBackFirst);
        if (state_.pressure || asked) return;
        m->eager = kBehindAll;
        return;
      }
      m->past.reset();
    }
    state_.coming_back.pop_front();
  }
}

// ---- forgotten ----

void ContextManager::Impl::on(const ClearRequested& event) {
  if (event.stats) state_.cache.clear_stats();
  if (event.history) {
    state_.load_time_of_any.reset();
    predictor_ = Predictor();
    asked_last_.reset();
    on_paper_.clear();
    for (auto& [id, m] : state_.models) {
      // Its idle time continues.
      if (m.resident()) m.run.hot_since = state_.idle_since(m);
      if (m.past) m.past->access_count = m.past->last_use_tick = 0;
      m.expected_load_time.reset();
      m.expected_wake_time.reset();
      m.service_time.reset();
    }
    state_.cache.forget_uses();
    for (const auto& [id, m] : state_.models) {
      if (m.resident()) refresh_entry(m);
    }
  }
  if (event.images) {
    for (auto& [id, m] : state_.models) {
      if (m.state() == ModelState::kParked && state_.idle(m)) stop(m, "its image was cleared by an operator");
    }
  }
}

}  // namespace minerva
