#include "minerva/context/context_manager.h"

#include <algorithm>
#include <utility>

#include "context/impl.h"
#include "context/planted_bug.h"

namespace minerva {

ContextManager::Impl::Impl(ContextOptions options, std::unique_ptr<EvictionPolicy> policy)
    : state_(options, std::move(policy)) {}

std::vector<Action> ContextManager::Impl::step(TimePoint now, const Event& event) {
  state_.now = std::max(state_.now, now);
  actions_.clear();
  changes_.clear();
  // This comes first, so that no request is granted after its deadline. A request that is being cancelled gets no
  // answer any more, so nothing expires before that event.
  const bool due = timer_.value_or(TimePoint::max()) <= state_.now;
  const bool leaves = std::holds_alternative<RequestCancelled>(event);
  if (!leaves && !planted_bug(PlantedBug::kExpiredIsGranted)) expire_waiters();
  std::visit([this](const auto& e) { on(e); }, event);
  const bool lease_only = std::holds_alternative<LeaseRequested>(event) || std::holds_alternative<LeaseReleased>(event);
  const bool settles = !lease_only || due || !state_.at_rest();
  if (settles) settle();
  const std::size_t done = actions_.size();
  predict();
  if (settles || actions_.size() > done) {
    for (auto& [id, m] : state_.models) note_change(m, State::residency(m, state_.now));
  }
  return std::move(actions_);
}

ContextManager::ContextManager(std::size_t max_models)
    : ContextManager(ContextOptions{.max_models = max_models}, make_lru_policy()) {}

ContextManager ContextManager::with_policy(std::size_t max_models, std::unique_ptr<EvictionPolicy> policy) {
  return ContextManager(ContextOptions{.max_models = max_models}, std::move(policy));
}

ContextManager::ContextManager(ContextOptions options, std::unique_ptr<EvictionPolicy> policy)
    : impl_(std::make_unique<Impl>(options, std::move(policy))) {}

ContextManager::~ContextManager() = default;
ContextManager::ContextManager(ContextManager&&) noexcept = default;
ContextManager& ContextManager::operator=(ContextManager&&) noexcept = default;

std::vector<Action> ContextManager::step(TimePoint now, const Event& event) { return impl_->step(now, event); }

std::optional<TimePoint> ContextManager::next_timer() const { return impl_->next_timer(); }

Result<LoadPlan> ContextManager::plan_load(const ModelId& model, const Footprint& footprint, TimePoint now) const {
  return impl_->plan_load(model, footprint, now);
}

const std::deque<Decision>& ContextManager::decisions() const { return impl_->decisions(); }

History ContextManager::history() const { return impl_->history(); }

const std::vector<ResidencyChange>& ContextManager::changes() const { return impl_->changes(); }

std::vector<ModelId> ContextManager::loaded_models() const { return impl_->hot_models(); }

std::vector<ModelView> ContextManager::models(TimePoint now) const { return impl_->models(now); }

std::optional<ModelView> ContextManager::model(const ModelId& id, TimePoint now) const { return impl_->model(id, now); }

Residency ContextManager::residency(const ModelId& id, TimePoint now) const { return impl_->residency(id, now); }

const CacheStats& ContextManager::cache_stats() const { return impl_->cache().stats(); }

double ContextManager::cache_hit_rate() const { return cache_stats().hit_rate(); }

std::string_view ContextManager::policy_name() const { return impl_->cache().policy_name(); }

Bytes ContextManager::memory_budget() const { return budget().host(); }

Footprint ContextManager::budget() const { return impl_->ledger().budget(); }

Footprint ContextManager::reserved() const { return impl_->ledger().reserved(); }

Bytes ContextManager::reserved_memory() const { return reserved().host(); }

std::uint64_t ContextManager::estimated_memory_mb() const { return reserved_memory().rounded_mib(); }

std::vector<PoolView> ContextManager::pools() const { return impl_->pools(); }

bool ContextManager::has_memory_pressure() const {
  constexpr double kPressure = 0.8;
  if (impl_->under_pressure()) return true;
  return static_cast<double>(reserved_memory().count()) > kPressure * static_cast<double>(memory_budget().count());
}

bool ContextManager::under_pressure() const { return impl_->under_pressure(); }

const RequestCounts& ContextManager::request_counts() const { return impl_->request_counts(); }

PredictionStats ContextManager::predictions() const { return impl_->predictions(); }

std::size_t ContextManager::queued() const { return impl_->queued(); }

bool ContextManager::drained() const { return impl_->drained(); }

void ContextManager::check_invariants() const { impl_->check_invariants(); }

}  // namespace minerva
