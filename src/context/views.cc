// What others may see of the state, and sentences about it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "context/impl.h"

namespace minerva {

std::string_view confidence_name(Confidence confidence) {
  switch (confidence) {
    case Confidence::kUnknown:
      return "unknown";
    case Confidence::kGuessed:
      return "guessed";
    case Confidence::kMeasured:
      break;
  }
  return "measured";
}

std::string_view priority_name(Priority priority) {
  switch (priority) {
    case Priority::kLow:
      return "low";
    case Priority::kNormal:
      return "normal";
    case Priority::kHigh:
      break;
  }
  return "high";
}

std::optional<Priority> parse_priority(std::string_view name) {
  for (const Priority priority : {Priority::kLow, Priority::kNormal, Priority::kHigh}) {
    if (priority_name(priority) == name) return priority;
  }
  return std::nullopt;
}

std::string_view residency_name(Residency residency) {
  switch (residency) {
    case Residency::kCold:
      return "cold";
    case Residency::kPreparing:
      return "preparing";
    case Residency::kLoading:
      return "loading";
    case Residency::kHot:
      return "hot";
    case Residency::kParking:
      return "parking";
    case Residency::kParked:
      return "parked";
    case Residency::kWaking:
      return "waking";
    case Residency::kStopping:
      return "stopping";
    case Residency::kQuarantined:
      break;
  }
  return "quarantined";
}

std::string_view breaker_state_name(BreakerState state) {
  switch (state) {
    case BreakerState::kClosed:
      return "closed";
    case BreakerState::kOpen:
      return "open";
    case BreakerState::kHalfOpen:
      break;
  }
  return "half_open";
}

// ---- views ----

void ContextManager::Impl::note_change(Model& m, Residency now) {
  if (now != m.told) changes_.push_back({m.id, std::exchange(m.told, now), now});
}

Residency ContextManager::Impl::residency(const ModelId& id, TimePoint now) const {
  const auto it = state_.models.find(id);
  return it == state_.models.end() ? Residency::kCold : State::residency(it->second, now);
}

ModelView ContextManager::Impl::view(const Model& m, TimePoint now) const {
  ModelView v;
  v.id = m.id;
  v.residency = State::residency(m, now);
  if (m.engine) {
    v.by_pool = state_.ledger.held(*m.engine);
    v.memory = v.by_pool.total();
    v.image = state_.ledger.image(*m.engine);
  }
  if (m.state() == ModelState::kParked) v.cached = m.run.cached;
  v.can_park = m.run.can_park && state_.options.parking.enabled;
  v.parks = m.parks;
  v.wakes = m.wakes;
  v.leases = m.leases.size();
  v.slots = m.slots;
  v.slots_taken = m.slots_taken;
  v.waiting = state_.queue.lines(m.id).leases.size();
  if (const CacheEntry* entry = state_.cache.find(m.id)) {
    v.access_count = entry->access_count;
    if (entry->last_use_tick > 0) v.since_last_use = now - entry->last_used;
    v.preloaded = entry->preloaded;
  }
  v.pinned = m.pinned;
  v.last_failure = m.last_failure;
  v.breaker = m.breaker.state(now);
  if (v.breaker == BreakerState::kOpen) v.tried_again_in = m.breaker.open_until() - now;
  v.expected_load_time = m.expected_load_time;
  v.engine = m.engine;
  return v;
}

std::vector<ModelView> ContextManager::Impl::models(TimePoint now) const {
  std::vector<ModelView> all;
  all.reserve(state_.models.size());
  for (const auto& [id, m] : state_.models) all.push_back(view(m, now));
  return all;
}

std::optional<ModelView> ContextManager::Impl::model(const ModelId& id, TimePoint now) const {
  const auto it = state_.models.find(id);
  if (it == state_.models.end()) return std::nullopt;
  return view(it->second, now);
}

std::vector<PoolView> ContextManager::Impl::pools() const {
  const Footprint budget = state_.budget();
  const Footprint available = state_.ledger.budget();
  const Footprint reserved = state_.ledger.reserved();
  std::vector<PoolView> pools = {{std::string(kHostPool), budget.host(), available.host(), reserved.host()}};
  for (const Device& device : state_.options.devices) {
    const std::size_t pool = pools.size();
    pools.push_back({device.id, budget.of(pool), available.of(pool), reserved.of(pool)});
  }
  return pools;
}

PredictionStats ContextManager::Impl::predictions() const {
  PredictionStats stats = guesses_;
  stats.paused = score_.paused();
  return stats;
}

std::vector<ModelId> ContextManager::Impl::hot_models() const {
  std::vector<ModelId> ids = state_.cache.list();
  std::erase_if(ids, [&](const ModelId& id) { return state_.models.at(id).state() != ModelState::kHot; });
  return ids;
}

// ---- sentences ----

std::string ContextManager::Impl::obstacle(const Model& m) const {
  if (m.state() == ModelState::kLoading) return in_quotes(m.id) + " is loading";
  if (m.state() == ModelState::kStopping) return in_quotes(m.id) + " is stopping";
  if (m.state() == ModelState::kParking) return in_quotes(m.id) + " is being parked";
  if (m.state() == ModelState::kWaking) return in_quotes(m.id) + " is waking";
  if (m.state() == ModelState::kParked && m.pinned) return in_quotes(m.id) + " is parked and pinned";
  if (m.state() != ModelState::kHot) return {};
  std::vector<std::string> why;
  if (m.pinned) why.emplace_back("pinned");
  if (!m.leases.empty()) why.push_back("serving " + count_of(m.leases.size(), "request"));
  if (const std::size_t waiting = state_.queue.lines(m.id).leases.size(); waiting > 0) {
    why.push_back(fmt::format("wanted by {} more", waiting));
  }
  if (why.empty()) return {};
  return fmt::format("{} is {}", in_quotes(m.id), fmt::join(why, " and "));
}

std::string ContextManager::Impl::obstacles(const ModelId& claimant) const {
  std::vector<std::string> found;
  for (const auto& [id, m] : state_.models) {
    if (id == claimant) continue;
    if (std::string text = obstacle(m); !text.empty()) found.push_back(std::move(text));
  }
  for (const auto& [id, m] : state_.models) {
    if (m.preparing() && id != claimant) found.push_back(in_quotes(id) + " waits for room as well");
  }
  if (found.empty()) return "other models hold it";
  constexpr std::size_t kMost = 8;
  if (found.size() > kMost) {
    const std::size_t more = found.size() - kMost;
    found.resize(kMost);
    found.push_back(fmt::format("and {} more", more));
  }
  return fmt::format("{}", fmt::join(found, ", "));
}

std::string ContextManager::Impl::asked_by(const RequestQueue::Line& line) const {
  switch (line.empty() ? Asker::kOperator : state_.queue.find(line.begin()->second)->asker) {
    case Asker::kOperator:
      break;
    case Asker::kSchedule:
      return "by its schedule";
    case Asker::kKeepAlive:
      return "by keep_alive";
  }
  return "by an operator";
}

Error ContextManager::Impl::too_large(const ModelId& id, const Footprint& footprint) const {
  const Footprint budget = state_.budget();
  for (std::size_t i = 0; i < state_.options.devices.size(); ++i) {
    if (footprint.of(i + 1) <= budget.of(i + 1)) continue;
    return {
        ErrorCode::kBudgetExceeded,
        fmt::format("{} needs {} MiB of the device {} and its memory_budget is {} MiB; raise it, or put less of the "
                    "model there",
                    in_quotes(id), footprint.of(i + 1).rounded_mib(), in_quotes(state_.options.devices[i].id),
                    budget.of(i + 1).rounded_mib())};
  }
  return {ErrorCode::kBudgetExceeded,
          fmt::format("{} needs {} MiB and the whole memory budget is {} MiB; raise memory_budget, or lower what is "
                      "set for it (context, parallel, weights, fit) or take a smaller quantization",
                      in_quotes(id), footprint.host().rounded_mib(), budget.host().rounded_mib())};
}

Error ContextManager::Impl::no_room_for_load(const ModelId& id, const Footprint& footprint) const {
  const Room room = state_.ledger.now();
  const std::string what =
      room.has_place() ? memory_wish(footprint) : fmt::format("max_models {} is reached", room.max_models);
  return {ErrorCode::kConflict, fmt::format("there is no room for {}: {}; {}; unload it or call again with ?force=true",
                                            in_quotes(id), what, obstacles(id))};
}

Error ContextManager::Impl::queue_full(const Model& m) const {
  const std::size_t here = state_.queue.lines(m.id).wanting();
  const bool full_here = here >= state_.options.max_queue_per_model;
  return {ErrorCode::kQueueFull,
          full_here ? fmt::format("{} for {} already; try again later", requests_wait(here), in_quotes(m.id))
                    : fmt::format("{} already; try again later", requests_wait(state_.queue.wanting())),
          {},
          retry_seconds(state_.expected_wait(m))};
}

Error ContextManager::Impl::quarantined_error(const Model& m) const {
  const int seconds = retry_seconds(m.breaker.open_until() - state_.now);
  const std::string why = m.last_failure ? m.last_failure->message : "it failed";
  return {ErrorCode::kQuarantined,
          fmt::format("{} failed recently and is tried again in {} s: {}", in_quotes(m.id), seconds, why),
          {},
          seconds};
}

Error ContextManager::Impl::draining_error() const {
  return {ErrorCode::kDraining,
          "the server is shutting down; try again once it is back",
          {},
          retry_seconds(state_.drain_deadline - state_.now)};
}

Error ContextManager::Impl::waited_too_long(const Waiter& waiter, const Model& m) const {
  const std::string waited = "waited " + in_words(state_.now - waiter.arrived);
  if (waiter.kind == WaitKind::kUnload || waiter.kind == WaitKind::kPark) {
    const std::size_t running = m.leases.size();
    const std::string busy =
        running > 0 ? fmt::format("is still serving {}", count_of(running, "request"))
                    : fmt::format("still has {} waiting", count_of(state_.queue.lines(m.id).wanting(), "request"));
    return {ErrorCode::kConflict,
            fmt::format("{}, and {} {}; call again with ?force=true to cancel them", waited, in_quotes(m.id), busy)};
  }
  std::string why;
  switch (m.state()) {
    case ModelState::kCold:
    case ModelState::kInspecting:
      why = fmt::format("for the inspection of {}", in_quotes(m.id));
      break;
    case ModelState::kWaitingForRoom:
      why = fmt::format("for room: {}", obstacles(m.id));
      break;
    case ModelState::kLoading:
      why = fmt::format("for {}, which is still loading", in_quotes(m.id));
      break;
    case ModelState::kHot:
      if (!m.draining && state_.queue.lines(m.id).first_leave() == UINT64_MAX) {
        why = fmt::format("for a slot of {}, which answers {} at once (parallel)", in_quotes(m.id),
                          count_of(m.slots, "request"));
        break;
      }
      why = fmt::format("for {}, which has to leave before it can be loaded again: another model's turn came first",
                        in_quotes(m.id));
      break;
    case ModelState::kParking:
    case ModelState::kParked:
      why = fmt::format("for room to wake {}: {}", in_quotes(m.id), obstacles(m.id));
      break;
    case ModelState::kWaking:
      why = fmt::format("for {}, which is waking", in_quotes(m.id));
      break;
    case ModelState::kStopping:
      why = fmt::format("for {}, which is stopping before it can be loaded again", in_quotes(m.id));
      break;
  }
  return {ErrorCode::kNoCapacity,
          fmt::format("{} {}; try again later", waited, why),
          {},
          retry_seconds(state_.expected_wait(m))};
}

}  // namespace minerva
