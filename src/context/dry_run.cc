// What a load would do if it was asked for now: a copy of the state gets the request, and what happens there is the
// answer.
//
// So the dry run and the real load are the same functions (LoadRequested, plan(), the moves), and cannot disagree:
// about turns, limits, pressure, a drain, full queues, or ranks that change with time.
#include <fmt/format.h>

#include <map>

#include "context/impl.h"
#include "context/planted_bug.h"

namespace minerva {
namespace {

constexpr RequestId kTrial{UINT64_MAX};

std::string_view already_there(const Model& m) {
  switch (m.state()) {
    case ModelState::kHot:
      return "already loaded";
    case ModelState::kLoading:
      return "already loading";
    case ModelState::kWaking:
      return "already waking";
    default:
      return {};
  }
}

}  // namespace

// Which models leave for the load, in this order, and which of them are stopped.
class ContextManager::Impl::TrialLeavers {
 public:
  void add(const ModelId& id, bool stops) {
    if (stops_.try_emplace(id, stops).second) {
      in_order_.push_back(id);
    } else {
      stops_[id] |= stops;
    }
  }
  const std::vector<ModelId>& in_order() const { return in_order_; }
  bool stops(const ModelId& id) const { return stops_.at(id); }

 private:
  std::vector<ModelId> in_order_;
  std::map<ModelId, bool> stops_;
};

std::vector<Action> ContextManager::Impl::try_load(const ModelId& id, const Footprint& footprint) {
  std::vector<Action> actions =
      step(state_.now, LoadRequested{kTrial, id, /*preload=*/false, /*force=*/false, TimePoint::max()});
  const Model& m = state_.models.at(id);
  const auto then = [&](const Event& event) {
    for (Action& action : step(state_.now, event)) actions.push_back(std::move(action));
  };
  // What the load waits for ends well.
  if (m.state() == ModelState::kParking)
    then(EngineParked{*m.engine, state_.expected_residue(m), m.run.image, m.run.cached});
  if (m.state() == ModelState::kStopping) then(EngineExited{*m.engine, Error{ErrorCode::kCancelled, "stopped"}});
  if (const auto* const inspection = std::get_if<phase::Inspecting>(&m.phase)) {
    then(Inspected{id, inspection->ticket, footprint, m.residue});
  }
  return actions;
}

void ContextManager::Impl::price(const TrialLeavers& leavers, LoadPlan& plan) const {
  plan.evict = leavers.in_order();
  for (const ModelId& victim : plan.evict) {
    const Model& leaves = state_.models.at(victim);
    const bool stops = leavers.stops(victim);
    plan.cost += stops ? state_.usual_load_time(leaves) : State::usual_wake_time(leaves);
    const std::optional<Duration> measured = stops ? leaves.expected_load_time : leaves.expected_wake_time;
    if (!measured) plan.confidence = std::min(plan.confidence, Confidence::kGuessed);
  }
}

Result<LoadPlan> ContextManager::Impl::plan_load(const ModelId& id, Footprint footprint, TimePoint now) const {
  const Model* const found = state_.find_known(id);
  if (found == nullptr) return fail(ErrorCode::kModelNotFound, fmt::format("there is no model {}", in_quotes(id)));
  const Model& m = *found;
  if (m.resident() || m.state() == ModelState::kLoading) footprint = m.footprint;  // of its engine
  LoadPlan plan;
  plan.footprint = footprint.total();
  plan.free = (state_.ledger.budget() - state_.ledger.reserved()).host();
  plan.expected_load_time = state_.expected_time(m);
  plan.confidence = plan.expected_load_time ? Confidence::kMeasured : Confidence::kUnknown;
  if (!plan.expected_load_time && state_.load_time_of_any && already_there(m).empty()) {
    plan.expected_load_time = state_.load_time_of_any;
    plan.confidence = Confidence::kGuessed;
  }

  Impl trial(state_);
  trial.state_.now = std::max(state_.now, now);
  if (planted_bug(PlantedBug::kDryRunIsAlone)) trial.state_.queue = RequestQueue();
  if (planted_bug(PlantedBug::kDryRunIgnoresPressure)) trial.state_.pressure = false;
  TrialLeavers leavers;
  for (const Action& action : trial.try_load(id, footprint)) {
    if (const auto* reject = std::get_if<Reject>(&action); reject != nullptr && reject->request == kTrial) {
      plan.reason = reject->error.message;
      return plan;
    }
    if (const auto* stop = std::get_if<Stop>(&action); stop != nullptr && stop->victim_of == id) {
      leavers.add(stop->model, /*stops=*/true);
    }
    if (const auto* park = std::get_if<Park>(&action); park != nullptr && park->victim_of == id) {
      leavers.add(park->model, /*stops=*/false);
    }
  }
  if (const std::string_view already = already_there(m); !already.empty()) {
    plan.possible = true;
    plan.reason = already;
    return plan;
  }
  const Model& then = trial.state_.models.at(id);
  plan.possible = then.state() == ModelState::kLoading || then.state() == ModelState::kWaking;
  if (!plan.possible) {
    // Adds the models that will be told to leave later.
    for (const Move& move : minerva::plan(trial.state_)) {
      if (move.claimant != &then) continue;
      plan.possible = move.kind != Move::Kind::kAwaitOthers;
      for (const Leaver& leaver : move.leavers) leavers.add(leaver.model->id, leaver.how == Leaver::How::kStop);
    }
  }
  if (!plan.possible) {
    plan.reason = trial.no_room_for_load(id, trial.state_.lacking(then)).message;
    return plan;
  }
  price(leavers, plan);
  const std::string how = m.state() == ModelState::kParked ? "it is parked and wakes" : "it fits";
  plan.reason =
      plan.evict.empty() ? how : fmt::format("{} once {} idle left", how, count_of(plan.evict.size(), "model"));
  return plan;
}

}  // namespace minerva
