// What must hold after each step.
#include <utility>

#include "sim/referee.h"

namespace minerva::sim {

// There is one lookup for each accepted request. A request that was refused at once is not accepted.
void Referee::check_lookup(const LeaseRequested& event) {
  if (event.looking) {
    return expect(requests_.at(event.request).status != SimRequest::Status::kOpen, "a look has to wait");
  }
  const SimRequest& request = requests_.at(event.request);
  const auto code = request.rejected;
  const SimModel& asked = models_[request.model];
  const bool too_wide = asked.known && !draining_ && asked.slots > 0 && request.slots > asked.slots;
  expect(!too_wide || code == ErrorCode::kInvalidArgument, "a request waits for more slots than there are");
  if (too_wide) ++coverage_["reject a request for too many slots"];
  const bool turned_away = too_wide || code == ErrorCode::kModelNotFound || code == ErrorCode::kDraining ||
                           code == ErrorCode::kQuarantined || code == ErrorCode::kQueueFull;
  // No request waits for a load while memory is short.
  const auto& live = models_[request.model].live;
  const bool joins = live && !engines_.at(*live).stopped;
  const bool shed = code == ErrorCode::kNoCapacity && pressure_ && request.outcome == CacheOutcome::kMiss && !joins;
  if (shed) ++coverage_["shed under pressure"];
  if (!turned_away && !shed) ++(request.outcome != CacheOutcome::kMiss ? expected_.hits : expected_.misses);
}

// The core's view of a resident engine.
void Referee::check_engine(EngineId id, SimEngine& engine) {
  const auto view = manager_.model(engine.model, now_);
  const Residency residency = engine.parking == SimEngine::Parking::kNo       ? Residency::kHot
                              : engine.parking == SimEngine::Parking::kParked ? Residency::kParked
                              : engine.parking == SimEngine::Parking::kWaking ? Residency::kWaking
                                                                              : Residency::kParking;
  expect(view && view->residency == residency && view->engine == id, "an engine's state is wrong");
  const bool first_look = !std::exchange(engine.counted_on, true);
  if (first_look && view->access_count != engine.grants) {
    engine.grants += models_[engine.model].past_grants;
    ++coverage_["uses counted on after a restart"];
  }
  if (first_look && models_[engine.model].was_resident) engine.touched |= view->since_last_use.has_value();
  expect(view->since_last_use.has_value() == engine.touched, "a preload is counted as use, or a use is not");
  expect(view->access_count == engine.grants && view->leases == engine.leases.size(), "leases are miscounted");
  expect(view->slots == models_[engine.model].slots, "a model has another number of slots than was said");
  expect(view->slots_taken == engine.slots_taken, "the slots taken are miscounted");
  expect(view->by_pool == engine.footprint && view->memory == engine.footprint.total() && view->image == engine.image,
         "a model's memory or image is wrong");
  const SimModel& model = models_[engine.model];
  const bool idle = engine.leases.empty() && !model.pinned && !engine.killed && !draining_ &&
                    (residency == Residency::kHot || residency == Residency::kParked) &&
                    !is_open(SimRequest::Kind::kLease, engine.model, false) &&
                    !is_open(SimRequest::Kind::kLoad, engine.model, false);
  if (idle && model.unload_ttl > Duration::zero() && now_ >= model.last_active + model.unload_ttl) {
    // The model may have become idle in this very step.
    expect(manager_.next_timer() == now_, "a model stays that was idle for unload_ttl");
  }
}

void Referee::check_pins() {
  for (auto& [id, model] : models_) {
    if (!model.pinned) continue;
    const auto view = manager_.model(id, now_);
    if (!view || !model.known) {
      model.pinned = false;
    } else if (!view->pinned) {
      expect(force_seen_, "a pin was lifted though nobody forced it");
      model.pinned = false;
      ++coverage_["pin lifted by force"];
    }
  }
}

void Referee::check_state(const Event& event) {
  manager_.check_invariants();
  if (const auto* const lease = std::get_if<LeaseRequested>(&event); lease != nullptr) check_lookup(*lease);
  const CacheStats& stats = manager_.cache_stats();
  expect(stats.hits == expected_.hits && stats.misses == expected_.misses, "the lookups are miscounted");
  if (perhaps_preload_ && stats.preloads == expected_.preloads + 1) ++expected_.preloads;
  expect(stats.preloads == expected_.preloads, "the preloads are miscounted");
  expect(stats.evictions == expected_.evictions, "the evictions are miscounted");

  check_configuration();
  check_guesses();
  check_changes();

  Footprint held;
  std::size_t serving_engines = 0;
  for (const EngineId id : live_) {
    SimEngine& engine = engines_.at(id);
    held += engine.footprint;
    if (!engine.resident()) continue;
    if (engine.serving()) ++serving_engines;
    check_engine(id, engine);
  }
  expect(manager_.reserved() == held, "the reserved memory is not what the engines alive hold");
  expect(manager_.budget() == limit(), "models may have more, or less, than others leave of the devices");
  expect(manager_.loaded_models().size() == serving_engines, "a model is listed as loaded that cannot serve");
  expect(manager_.queued() == open_leases_, "the queue and the open requests disagree");
  expect(manager_.request_counts() == counts_, "the requests are miscounted");
  expect(counts_.accepted == counts_.ended() + open_leases_ + granted_, "a request is not accounted for");
  expect(manager_.drained() == (draining_ && live_.empty()), "drained too early or too late");

  if (!deadlines_.empty()) {
    expect(*deadlines_.begin() > now_, "a request waits beyond its deadline");
    const TimePoint armed = manager_.next_timer().value_or(TimePoint::max());
    expect(armed <= *deadlines_.begin(), "a deadline is not armed");
  }
  check_pins();
}

void Referee::check_guesses() {
  // A request for the model makes it more than a guess, unless the request was refused at once, which only the core
  // knows.
  if (arrival_ && !requests_.at(*arrival_).looking) {
    const auto it = models_.find(requests_.at(*arrival_).model);
    if (it != models_.end() && it->second.live) {
      SimEngine& engine = engines_.at(*it->second.live);
      const bool let_in = !requests_.at(*arrival_).rejected;
      if (engine.on_guess && let_in) ++coverage_[engine.ready ? "a guess is used" : "a guess is joined"];
      engine.on_guess = false;
      if (let_in) engine.perhaps_on_guess = false;
    }
  }
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (!engine.on_guess || engine.ready || engine.stopped || draining_) continue;
    expect(open_wanting_ == 0, "a guess is loaded on though somebody waits");
  }
  const PredictionStats stats = manager_.predictions();
  expect(stats.made >= stats.used + stats.wasted, "the guesses are miscounted");
  if (stats.paused) ++coverage_["guesses are paused"];
}

// A reader who follows the changes must know the state of each model.
void Referee::check_changes() {
  for (const ResidencyChange& change : manager_.changes()) {
    Residency& told = told_.try_emplace(change.model, Residency::kCold).first->second;
    expect(change.from == told && change.to != told, "a change is told that does not follow from the one before");
    told = change.to;
  }
  for (const auto& [id, told] : told_) {
    const Residency now = manager_.residency(id, now_);
    // the quarantine ended with time, which is no change
    const bool over = told == Residency::kQuarantined && now == Residency::kCold;
    expect(now == told || over, "a model is in another state than was told");
  }
}

// What a config demands that was read while everything goes on.
void Referee::check_configuration() {
  if (arrival_ && queue_was_full_) expect(!open_.contains(*arrival_), "a request waits in a queue that was full");
  const TimePoint armed = manager_.next_timer().value_or(TimePoint::max());
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (engine.stopped) continue;
    expect(!engine.outdated || !engine.leases.empty(), "an engine is kept whose settings have changed");
    if (engine.ready) continue;
    expect(now_ < engine.spawned + options_.load_timeout, "a load goes on beyond load_timeout");
    expect(armed <= engine.spawned + options_.load_timeout, "load_timeout is not armed");
  }
  for (auto& [id, model] : models_) {
    if (!model.comes_back || model.live) continue;
    model.comes_back = false;
    if (draining_) continue;
    expect(model.ticket != 0, "a model that was in memory does not come back with its new settings");
    ++coverage_["outdated model comes back"];
  }
}

}  // namespace minerva::sim
