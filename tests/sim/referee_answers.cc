// Whether requests may get the answers that they get, and whether a dry run says what a load then does.
#include <algorithm>

#include "sim/referee.h"

namespace minerva::sim {

void Referee::see(const Grant& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end() && it->second.kind == SimRequest::Kind::kLease, "a lease for nobody");
  SimRequest& request = it->second;
  expect(request.status == SimRequest::Status::kOpen, "a request is answered that was answered or left");
  const auto engine = engines_.find(action.engine);
  expect(engine != engines_.end() && engine->second.may_be_granted(), "a lease on an engine that cannot serve");
  expect(engine->second.model == request.model && action.model == request.model, "a lease on another model");
  expect(!engine->second.outdated, "a lease on an engine whose settings have changed");
  expect(action.outcome == request.outcome, "a hit that is a miss, or the reverse");
  expect(action.waited == now_ - request.arrived, "a wrong waiting time");
  const auto turns = static_cast<std::int64_t>(1 + request.ahead);
  const bool bounded = wait_bound_ != Duration::max() && request.caller != kFlooder;
  expect(!bounded || action.waited <= turns * wait_bound_, "a request starved");
  expect(now_ < request.deadline, "a request is granted after its deadline");
  expect(++request.engines_had <= 2, "a request gets a third engine");
  if (request.engines_had == 2) ++coverage_["grant of a second engine"];
  const auto view = manager_.model(request.model, now_);
  if (view && view->breaker == BreakerState::kHalfOpen && !request.looking) {
    expect(engine->second.leases.empty(), "a second request is let in before the first proved the model");
    ++coverage_["probe"];
  }
  if (action.waited > Duration::zero() && request.outcome == CacheOutcome::kHit) ++coverage_["hit that had to wait"];
  if (!request.looking) models_[request.model].last_active = now_;
  close(action.request);
  ++granted_;
  request.status = SimRequest::Status::kGranted;
  request.engine = action.engine;
  engine->second.leases.insert(action.request);
  request.granted = now_;
  check_slots(request, engine->second);
  engine->second.slots_taken += request.slots;
  if (request.looking) {
    ++coverage_["look"];
    return;  // it is no use
  }
  ++engine->second.grants;
  engine->second.served = true;
  engine->second.touched = true;
  ++coverage_["grant"];
}

// Checks the slots against the other leases of the engine.
void Referee::check_slots(const SimRequest& request, const SimEngine& engine) {
  const SimModel& model = models_[request.model];
  if (model.slots == 0 || request.slots == 0) return;
  expect(request.slots <= model.slots, "a request gets more slots than there are");
  const unsigned taken = engine.slots_taken + request.slots;
  if (request.slots > 1) {
    expect(taken <= model.slots, "a request for several slots is granted before they are free");
    ++coverage_["grant of several slots"];
  } else {
    expect(taken <= model.slots * (model.perhaps_quick ? 2 : 1), "an engine gets more requests than it has slots");
  }
  if (taken >= model.slots) ++coverage_["all slots taken"];
}

void Referee::see(const Done& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end() && it->second.kind != SimRequest::Kind::kLease, "a Done for no life-cycle call");
  const SimRequest& request = it->second;
  expect(request.status == SimRequest::Status::kOpen, "a request is answered that was answered or left");
  expect(action.model == request.model, "a Done for another model");
  if (request.kind == SimRequest::Kind::kLoad) {
    expect(resident(action.model) != nullptr, "a load is done, but the model cannot serve");
    expect(action.footprint == resident(action.model)->footprint.total(), "a load reports a wrong footprint");
    expect(!resident(action.model)->outdated, "a load is done by an engine whose settings have changed");
    if (!request.preload) {
      models_[action.model].last_active = now_;
      engines_.at(*models_[action.model].live).touched = true;
    } else if (!action.evicted.empty()) {
      ++coverage_["preload that evicted"];
    }
    ++coverage_[action.changed ? "load done" : "load of a hot model"];
    if (!action.evicted.empty()) ++coverage_["load that evicted"];
  } else if (request.kind == SimRequest::Kind::kUnload) {
    expect(!models_[action.model].live, "an unload is done, but the engine lives");
    ++coverage_[action.changed ? "unload done" : "unload of a cold model"];
  }
  close(action.request);
}

void Referee::see(const Reject& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end(), "a rejection for nobody");
  const SimRequest& request = it->second;
  expect(request.status == SimRequest::Status::kOpen, "a request is answered that was answered or left");
  expect(!action.error.message.empty(), "a rejection without a reason");
  const ErrorInfo& info = error_info(action.error.code);
  const bool known = models_.contains(request.model) && models_[request.model].known;
  switch (action.error.code) {
    case ErrorCode::kModelNotFound:
      expect(!known, "a known model is not found");
      break;
    case ErrorCode::kDraining:
      expect(draining_, "a request is refused for draining, but nothing drains");
      break;
    case ErrorCode::kModelNotLoaded:
      expect(request.looking, "a use of a model is refused as it is not loaded");
      break;
    case ErrorCode::kNoCapacity:
      expect(now_ >= request.deadline || force_seen_ || pressure_ || devices_are_short() || no_room_seen_,
             "a request gave up before its deadline");
      if (devices_are_short() && now_ < request.deadline) ++coverage_["shed for a device"];
      break;
    case ErrorCode::kQueueFull:
      expect(arrival_ == action.request, "a request is refused for the queue's length that was let in before");
      expect(queue_was_full_, "a request is refused for the queue's length though the queue is not full");
      break;
    default:
      break;
  }
  const bool try_again = action.error.code == ErrorCode::kNoCapacity || action.error.code == ErrorCode::kQueueFull ||
                         action.error.code == ErrorCode::kQuarantined || action.error.code == ErrorCode::kDraining;
  expect(!try_again || action.error.retry_after_s >= 1, "no Retry-After");
  expect(wait_bound_ == Duration::max() || request.kind != SimRequest::Kind::kLease || !try_again,
         "a request is shed that would have had its turn");
  it->second.rejected = action.error.code;
  if (request.kind == SimRequest::Kind::kLease) ++(try_again ? counts_.shed : counts_.failed);
  if (request.engines_had > 0) ++coverage_["rejected after its engine died"];
  ++coverage_["reject " + std::string(info.name)];
  close(action.request);
}

void Referee::see(const Abort& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end() && it->second.status == SimRequest::Status::kGranted, "an abort of what holds no lease");
  expect(!it->second.aborted, "a lease is aborted twice");
  expect(force_seen_ || (draining_ && now_ >= drain_deadline_), "a lease is aborted though nobody forced it");
  it->second.aborted = true;
  ++coverage_["abort"];
}

std::optional<Referee::LoadTrial> Referee::try_load(const Event& event) const {
  ModelId id;
  RequestId load{};
  Footprint footprint;
  if (const auto* const requested = std::get_if<LoadRequested>(&event); requested != nullptr && !requested->force) {
    id = requested->model;
    load = requested->request;
    if (requested->deadline <= now_) return std::nullopt;
  } else if (const auto* const inspected = std::get_if<Inspected>(&event); inspected != nullptr) {
    const auto model = models_.find(inspected->model);
    const bool counts = model != models_.end() && model->second.ticket == inspected->ticket && inspected->footprint &&
                        manager_.residency(inspected->model, now_) == Residency::kPreparing;
    if (!counts) return std::nullopt;
    const auto waits = std::find_if(open_.begin(), open_.end(), [&](const RequestId r) {
      const SimRequest& request = requests_.at(r);
      return request.kind == SimRequest::Kind::kLoad && request.model == inspected->model && request.deadline > now_;
    });
    if (waits == open_.end()) return std::nullopt;
    id = inspected->model;
    load = *waits;
    footprint = *inspected->footprint;
  }
  if (id.empty()) return std::nullopt;
  auto plan = manager_.plan_load(id, footprint, now_);
  if (!plan) return std::nullopt;
  return LoadTrial{id, load, *std::move(plan), std::holds_alternative<Inspected>(event)};
}

void Referee::check_trial(const LoadTrial& trial, const std::vector<Action>& actions) {
  bool rejected = false;
  bool starts = false;
  for (const Action& action : actions) {
    if (const auto* reject = std::get_if<Reject>(&action)) rejected |= reject->request == trial.load;
    if (const auto* spawn = std::get_if<Spawn>(&action)) starts |= spawn->model == trial.model;
    if (const auto* wake = std::get_if<Wake>(&action)) starts |= wake->model == trial.model;
    ModelId leaves;
    if (const auto* stop = std::get_if<Stop>(&action); stop != nullptr && stop->victim_of == trial.model) {
      leaves = stop->model;
    }
    if (const auto* park = std::get_if<Park>(&action); park != nullptr && park->victim_of == trial.model) {
      leaves = park->model;
    }
    if (leaves.empty() || !trial.plan.possible) continue;
    expect(std::ranges::find(trial.plan.evict, leaves) != trial.plan.evict.end(),
           "a model leaves for a load of which the dry run did not say so");
    ++coverage_["a dry run named who leaves"];
  }
  expect(!rejected || !trial.plan.possible, "a load is refused that the dry run called possible");
  // It may wait on, for a request that waits for the model as well, but it has its turn later.
  const bool turned_away = trial.plan.reason.find("already; try again later") != std::string::npos || pressure_;
  expect(!starts || trial.plan.possible || turned_away || rejected, "a load starts that the dry run called impossible");
  if (starts) ++coverage_["a dry run said that it starts"];
  if (rejected) ++coverage_["a dry run said that it is refused"];
}

}  // namespace minerva::sim
