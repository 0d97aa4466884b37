// What the referee does in each step, and what it knows of open requests, of a restart and of the end.
#include "sim/referee.h"

#include <fmt/format.h>

#include <algorithm>

namespace minerva::sim {

void broken(const std::string& what) { throw BrokenInvariant(what); }

void expect(bool condition, const char* what) {
  if (!condition) broken(what);
}

std::vector<Action> Referee::step(TimePoint now, const Event& event) {
  now_ = now;
  force_seen_ = open_forced_ > 0;
  perhaps_preload_ = false;
  pressure_seen_ = pressure_;
  forced_out_.clear();
  clears_images_ = false;
  no_room_seen_ = false;
  arrival_.reset();
  displaced_ = Bytes();
  const std::optional<LoadTrial> trial = try_load(event);
  std::visit([this](const auto& e) { note(e); }, event);
  std::vector<Action> actions = manager_.step(now, event);
  if (trial) check_trial(*trial, actions);
  for (const Action& action : actions) {
    std::visit([this](const auto& a) { see(a); }, action);
  }
  check_pages();
  check_state(event);
  return actions;
}

void Referee::open(RequestId id, SimRequest request) {
  request.arrived = now_;
  if (request.kind == SimRequest::Kind::kLease || request.kind == SimRequest::Kind::kLoad) {
    ++open_wanting_;
    deadlines_.insert(request.deadline);
  }
  if (request.kind == SimRequest::Kind::kLease) ++open_leases_;
  if (request.force) {
    ++open_forced_;
    force_seen_ = true;
  }
  open_.insert(id);
  expect(requests_.emplace(id, request).second, "the simulator reused a request id");
  if (request.kind == SimRequest::Kind::kLease) ++counts_.accepted;
}

void Referee::close(RequestId id) {
  SimRequest& request = requests_.at(id);
  if (request.kind == SimRequest::Kind::kLease || request.kind == SimRequest::Kind::kLoad) {
    --open_wanting_;
    deadlines_.erase(deadlines_.find(request.deadline));
  }
  if (request.kind == SimRequest::Kind::kLease) --open_leases_;
  if (request.force) --open_forced_;
  open_.erase(id);
  request.status = SimRequest::Status::kClosed;
}

bool Referee::is_open(SimRequest::Kind kind, const ModelId& model, bool forced_only) const {
  return std::any_of(open_.begin(), open_.end(), [&](const RequestId id) {
    const SimRequest& request = requests_.at(id);
    const bool of_model = model.empty() || request.model == model;
    return request.kind == kind && of_model && (request.force || !forced_only);
  });
}

std::size_t Referee::count_ahead(const ModelId& model) const {
  return static_cast<std::size_t>(std::count_if(open_.begin(), open_.end(), [&](const RequestId id) {
    const SimRequest& request = requests_.at(id);
    return request.model == model && request.kind == SimRequest::Kind::kLease && request.caller != kFlooder;
  }));
}

Footprint Referee::limit() const {
  const Footprint limit = least(budget_of(options_), available_);
  return now_ < denied_until_ ? least(limit, denied_) : limit;
}

const SimEngine* Referee::resident(const ModelId& model) const {
  const auto it = models_.find(model);
  if (it == models_.end() || !it->second.live) return nullptr;
  const SimEngine& engine = engines_.at(*it->second.live);
  return engine.resident() ? &engine : nullptr;
}

History Referee::history() {
  History history = manager_.history();
  expect(history.stats == expected_, "the history has other statistics");
  std::set<ModelId> resident_ones;
  for (const ModelHistory& model : history.models) {
    expect(models_.contains(model.id) && models_[model.id].known, "the history has a model that is not in the catalog");
    if (!model.resident) continue;
    resident_ones.insert(model.id);
    const SimEngine* const engine = resident(model.id);
    expect(engine != nullptr || models_[model.id].returns || draining_, "a model is to come back that left");
    if (engine != nullptr) expect(model.resident->access_count == engine->grants, "a model's uses are miscounted");
  }
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (!engine.resident() || !models_[engine.model].known) continue;
    if (engine.perhaps_on_guess && !engine.woken_on_guess) continue;
    expect(resident_ones.contains(engine.model), "a resident model is not to come back");
  }
  return history;
}

void Referee::restarted(const ContextOptions& options) {
  options_ = options;
  for (const RequestId id : std::set<RequestId>(open_)) close(id);
  for (auto& [id, request] : requests_) request.status = SimRequest::Status::kClosed;
  models_.clear();
  engines_.clear();
  live_.clear();
  counts_ = {};
  expected_ = {};
  granted_ = 0;
  switching_.clear();
  switches_.clear();
  told_.clear();
  draining_ = pressure_ = false;
  available_ = Footprint::unbounded();
  denied_until_ = {};
  ++coverage_["restart"];
}

void Referee::check_finished() const {
  expect(granted_ == 0, "a request runs for ever");
  expect(!open_.empty() || counts_.accepted == counts_.ended(), "a request has no end");
  if (open_.empty()) return;
  const SimRequest& request = requests_.at(*open_.begin());
  broken(fmt::format("a request was forgotten: {} for {}", static_cast<std::uint64_t>(*open_.begin()), request.model));
}

}  // namespace minerva::sim
