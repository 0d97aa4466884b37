// What others may see of the state, and sentences about it.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "context/impl.h"
#include "context/victims.h"

namespace minerva {

std::string requests_wait(std::size_t n) { return n == 1 ? "1 request waits" : fmt::format("{} requests wait", n); }

std::string count_of(std::size_t n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

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

TimePoint after(TimePoint now, Duration span) { return span > TimePoint::max() - now ? TimePoint::max() : now + span; }

int retry_seconds(Duration span) {
  const std::chrono::seconds seconds = std::chrono::ceil<std::chrono::seconds>(span);
  return static_cast<int>(std::clamp<std::int64_t>(seconds.count(), 1, 3600));
}

std::string in_quotes(const ModelId& id) { return fmt::format("\"{}\"", id); }

// ---- views ----

Residency ContextManager::Impl::residency(const Model& m, TimePoint now) {
  switch (m.state) {
    case ModelState::kInspecting:
    case ModelState::kWaitingForRoom:
      return Residency::kPreparing;
    case ModelState::kLoading:
      return Residency::kLoading;
    case ModelState::kHot:
      return Residency::kHot;
    case ModelState::kParking:
      return Residency::kParking;
    case ModelState::kParked:
      return Residency::kParked;
    case ModelState::kWaking:
      return Residency::kWaking;
    case ModelState::kStopping:
      return Residency::kStopping;
    case ModelState::kCold:
      break;
  }
  return m.breaker.open(now) ? Residency::kQuarantined : Residency::kCold;
}

void ContextManager::Impl::note_change(Model& m, Residency now) {
  if (now != m.told) changes_.push_back({m.id, std::exchange(m.told, now), now});
}

Residency ContextManager::Impl::residency(const ModelId& id, TimePoint now) const {
  const auto it = models_.find(id);
  return it == models_.end() ? Residency::kCold : residency(it->second, now);
}

ModelView ContextManager::Impl::view(const Model& m, TimePoint now) const {
  ModelView v;
  v.id = m.id;
  v.residency = residency(m, now);
  if (m.engine) {
    v.memory = ledger_.held(*m.engine);
    v.image = ledger_.image(*m.engine);
  }
  v.can_park = m.can_park && options_.parking.enabled;
  v.parks = m.parks;
  v.wakes = m.wakes;
  v.leases = m.leases.size();
  v.slots = m.slots;
  v.slots_taken = m.slots_taken;
  v.waiting = queue_.lines(m.id).leases.size();
  if (const CacheEntry* entry = cache_.find(m.id)) {
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
  all.reserve(models_.size());
  for (const auto& [id, m] : models_) all.push_back(view(m, now));
  return all;
}

std::optional<ModelView> ContextManager::Impl::model(const ModelId& id, TimePoint now) const {
  const auto it = models_.find(id);
  if (it == models_.end()) return std::nullopt;
  return view(it->second, now);
}

Result<LoadPlan> ContextManager::Impl::plan_load(const ModelId& id, Bytes footprint) const {
  const auto it = models_.find(id);
  if (it == models_.end() || !it->second.known) {
    return fail(ErrorCode::kModelNotFound, fmt::format("there is no model {}", in_quotes(id)));
  }
  const Model& m = it->second;
  if (m.resident() || m.state == ModelState::kLoading) footprint = m.footprint;  // of its engine
  LoadPlan plan;
  plan.footprint = footprint;
  plan.free = ledger_.budget() - ledger_.reserved();
  if (m.state == ModelState::kHot || m.state == ModelState::kLoading || m.state == ModelState::kWaking) {
    plan.possible = true;
    plan.reason = m.state == ModelState::kHot       ? "already loaded"
                  : m.state == ModelState::kLoading ? "already loading"
                                                    : "already waking";
    plan.expected_load_time = expected_time(m);
    plan.confidence = plan.expected_load_time ? Confidence::kMeasured : Confidence::kUnknown;
    return plan;
  }
  const bool parked = m.state == ModelState::kParked;
  const Bytes needs = parked ? lacking(m) : footprint;
  plan.expected_load_time = expected_time(m);
  plan.confidence = plan.expected_load_time ? Confidence::kMeasured
                    : load_time_of_any_     ? Confidence::kGuessed
                                            : Confidence::kUnknown;
  if (plan.confidence == Confidence::kGuessed) plan.expected_load_time = load_time_of_any_;
  if (footprint > ledger_.budget()) {
    plan.reason = too_large(m.id, footprint).message;
    return plan;
  }
  Candidates candidates;
  add_idle_candidates(candidates);
  // A parked one does not leave for itself.
  for (std::size_t i = candidates.whose.size(); parked && i-- > 0;) {
    if (candidates.whose[i].model == &m) candidates.departures[i] = {Bytes(), /*slot=*/false};
  }
  const auto chosen = choose_victims(ledger_.after_exits(), needs, candidates.departures);
  if (!chosen) {
    plan.reason = no_room_for_load(m.id, needs).message;
    return plan;
  }
  plan.possible = true;
  std::map<ModelId, bool> stops;  // otherwise it parks
  for (const std::size_t i : *chosen) {
    const Candidates::Whose& whose = candidates.whose[i];
    const auto [leaves, is_new] = stops.try_emplace(whose.model->id, whose.stops);
    if (is_new) plan.evict.push_back(whose.model->id);
    leaves->second |= whose.stops;
  }
  for (const auto& [victim, stopped] : stops) {
    const Model& leaves = models_.at(victim);
    const std::optional<Duration> measured = stopped ? leaves.expected_load_time : leaves.expected_wake_time;
    plan.cost += stopped ? usual_load_time(leaves) : usual_wake_time(leaves);
    if (!measured) plan.confidence = std::min(plan.confidence, Confidence::kGuessed);
  }
  const std::string how = parked ? "it is parked and wakes" : "it fits";
  plan.reason =
      plan.evict.empty() ? how : fmt::format("{} once {} idle left", how, count_of(plan.evict.size(), "model"));
  return plan;
}

PredictionStats ContextManager::Impl::predictions() const {
  PredictionStats stats = guesses_;
  stats.paused = score_.paused();
  return stats;
}

std::vector<ModelId> ContextManager::Impl::hot_models() const {
  std::vector<ModelId> ids = cache_.list();
  std::erase_if(ids, [&](const ModelId& id) { return models_.at(id).state != ModelState::kHot; });
  return ids;
}

// ---- sentences ----

std::string ContextManager::Impl::obstacle(const Model& m) const {
  if (m.state == ModelState::kLoading) return in_quotes(m.id) + " is loading";
  if (m.state == ModelState::kStopping) return in_quotes(m.id) + " is stopping";
  if (m.state == ModelState::kParking) return in_quotes(m.id) + " is being parked";
  if (m.state == ModelState::kWaking) return in_quotes(m.id) + " is waking";
  if (m.state == ModelState::kParked && m.pinned) return in_quotes(m.id) + " is parked and pinned";
  if (m.state != ModelState::kHot) return {};
  std::vector<std::string> why;
  if (m.pinned) why.emplace_back("pinned");
  if (!m.leases.empty()) why.push_back("serving " + count_of(m.leases.size(), "request"));
  if (const std::size_t waiting = queue_.lines(m.id).leases.size(); waiting > 0) {
    why.push_back(fmt::format("wanted by {} more", waiting));
  }
  if (why.empty()) return {};
  return fmt::format("{} is {}", in_quotes(m.id), fmt::join(why, " and "));
}

std::string ContextManager::Impl::obstacles(const ModelId& claimant) const {
  std::vector<std::string> found;
  for (const auto& [id, m] : models_) {
    if (id == claimant) continue;
    if (std::string text = obstacle(m); !text.empty()) found.push_back(std::move(text));
  }
  for (const auto& [id, m] : models_) {
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

Error ContextManager::Impl::too_large(const ModelId& id, Bytes footprint) const {
  return {ErrorCode::kBudgetExceeded,
          fmt::format("{} needs {} MiB and the whole memory budget is {} MiB; raise memory_budget, or lower what is "
                      "set for it (context, parallel, weights, fit) or take a smaller quantization",
                      in_quotes(id), footprint.rounded_mib(), ledger_.budget().rounded_mib())};
}

Error ContextManager::Impl::no_room_for_load(const ModelId& id, Bytes footprint) const {
  const Room room = ledger_.now();
  const bool slots = room.max_models != 0 && room.slots >= room.max_models;
  const std::string what = slots ? fmt::format("max_models {} is reached", room.max_models) : memory_wish(footprint);
  return {ErrorCode::kConflict, fmt::format("there is no room for {}: {}; {}; unload it or call again with ?force=true",
                                            in_quotes(id), what, obstacles(id))};
}

Error ContextManager::Impl::queue_full(const Model& m) const {
  const std::size_t here = queue_.lines(m.id).wanting();
  const bool full_here = here >= options_.max_queue_per_model;
  return {ErrorCode::kQueueFull,
          full_here ? fmt::format("{} for {} already; try again later", requests_wait(here), in_quotes(m.id))
                    : fmt::format("{} already; try again later", requests_wait(queue_.wanting())),
          {},
          retry_seconds(expected_wait(m))};
}

Error ContextManager::Impl::quarantined_error(const Model& m) const {
  const int seconds = retry_seconds(m.breaker.open_until() - now_);
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
          retry_seconds(drain_deadline_ - now_)};
}

Error ContextManager::Impl::waited_too_long(const Waiter& waiter, const Model& m) const {
  const std::string waited = "waited " + in_words(now_ - waiter.arrived);
  if (waiter.kind == WaitKind::kUnload || waiter.kind == WaitKind::kPark) {
    const std::size_t running = m.leases.size();
    const std::string busy =
        running > 0 ? fmt::format("is still serving {}", count_of(running, "request"))
                    : fmt::format("still has {} waiting", count_of(queue_.lines(m.id).wanting(), "request"));
    return {ErrorCode::kConflict,
            fmt::format("{}, and {} {}; call again with ?force=true to cancel them", waited, in_quotes(m.id), busy)};
  }
  std::string why;
  switch (m.state) {
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
      if (!m.draining && queue_.lines(m.id).first_leave() == UINT64_MAX) {
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
  return {
      ErrorCode::kNoCapacity, fmt::format("{} {}; try again later", waited, why), {}, retry_seconds(expected_wait(m))};
}

}  // namespace minerva
