// For tests: a ContextManager with a clock that the test moves, and helpers that play the caller. Invariants are
// checked after every step.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "minerva/context/context_manager.h"

namespace minerva {

// Two callers.
inline constexpr UserId kAnn{1};
inline constexpr UserId kBen{2};

class CoreTest : public testing::Test {
 protected:
  static constexpr Duration kPatience = std::chrono::seconds(30);
  static constexpr RequestId kR1{1};
  static constexpr RequestId kR2{2};
  static constexpr RequestId kR3{3};
  static constexpr RequestId kR4{4};

  // The budget is in MiB. Requires: called first.
  void start(std::uint64_t budget_mib, std::size_t max_models = 0, const char* policy = "lru") {
    ContextOptions options;
    options.memory_budget = Bytes::mib(budget_mib);
    options.max_models = max_models;
    start(options, policy);
  }
  void start(const ContextOptions& options, const char* policy = "lru") {
    options_ = options;
    core_.emplace(options, make_policy(policy).value());
  }

  std::vector<Action> step(const Event& event) {
    std::vector<Action> actions = core_->step(now_, event);
    core_->check_invariants();
    for (const Action& action : actions) {
      if (const auto* spawn = std::get_if<Spawn>(&action)) engine_[spawn->model] = spawn->engine;
      if (const auto* inspect = std::get_if<Inspect>(&action)) ticket_[inspect->model] = inspect->ticket;
    }
    return actions;
  }
  std::vector<Action> wait(Duration span) {
    now_ += span;
    return step(TimerFired{});
  }

  // Whether the actions change nothing: there are none, or only ReadAhead.
  static bool nothing(const std::vector<Action>& actions) { return all<ReadAhead>(actions).size() == actions.size(); }
  // All actions of one kind.
  template <typename T>
  static std::vector<T> all(const std::vector<Action>& actions) {
    std::vector<T> found;
    for (const Action& action : actions) {
      if (const T* a = std::get_if<T>(&action)) found.push_back(*a);
    }
    return found;
  }
  // The only action that changes anything. Requires: it is of this kind.
  template <typename T>
  static T only(std::vector<Action> actions) {
    if constexpr (!std::is_same_v<T, ReadAhead>) {
      std::erase_if(actions, [](const Action& action) { return std::holds_alternative<ReadAhead>(action); });
    }
    EXPECT_EQ(actions.size(), 1U);
    if (actions.size() != 1 || !std::holds_alternative<T>(actions[0])) {
      ADD_FAILURE() << "not the expected action";
      return T{};
    }
    return std::get<T>(actions[0]);
  }

  void add(const ModelId& id, std::uint64_t mib, bool pinned = false) {
    footprint_[id] = Bytes::mib(mib);
    step(ModelAdded{id, pinned, PreloadStrategy::kLazy});
  }
  // Sets the budget, in MiB.
  std::vector<Action> shrink(std::uint64_t budget_mib) {
    options_.memory_budget = Bytes::mib(budget_mib);
    return step(OptionsChanged{options_});
  }
  RequestId next_id() { return RequestId{next_request_++}; }

  std::vector<Action> lease(RequestId id, const ModelId& model, Duration patience = kPatience) {
    return step(LeaseRequested{id, model, now_ + patience});
  }
  std::vector<Action> load(RequestId id, const ModelId& model, bool preload = false, bool force = false) {
    return step(LoadRequested{id, model, preload, force, now_ + kPatience});
  }
  std::vector<Action> unload(RequestId id, const ModelId& model, bool force = false) {
    return step(UnloadRequested{id, model, force, now_ + kPatience});
  }
  std::vector<Action> inspected(const ModelId& model) {
    return step(Inspected{model, ticket_.at(model), footprint_.at(model)});
  }
  std::vector<Action> ready(const ModelId& model) { return step(EngineReady{engine_.at(model), can_park_}); }
  // Unless this is called first, engines that are loaded cannot park.
  void engines_can_park() { can_park_ = true; }
  std::vector<Action> parked(const ModelId& model, std::uint64_t residue_mib, std::uint64_t image_mib = 10,
                             std::uint64_t cached_mib = 100) {
    return step(
        EngineParked{engine_.at(model), Bytes::mib(residue_mib), Bytes::mib(image_mib), Bytes::mib(cached_mib)});
  }
  std::vector<Action> woken(const ModelId& model) { return step(EngineWoken{engine_.at(model)}); }
  std::vector<Action> park(RequestId id, const ModelId& model, bool force = false) {
    return step(ParkRequested{id, model, force, now_ + kPatience});
  }
  std::vector<Action> exited(const ModelId& model, ErrorCode code = ErrorCode::kEngineCrashed) {
    return step(EngineExited{engine_.at(model), Error{code, "it died"}});
  }
  std::vector<Action> release(RequestId id, LeaseEnd end = LeaseEnd::kCompleted) {
    return step(LeaseReleased{id, end});
  }
  std::vector<Action> lost(RequestId id) { return step(LeaseLost{id, now_ + kPatience}); }

  // Makes the model hot, used once and idle. Requires: there is room.
  void heat(const ModelId& model) { release(heat_and_hold(model)); }
  // Makes the model hot, with a lease.
  RequestId heat_and_hold(const ModelId& model) {
    const RequestId id = next_id();
    if (!all<Grant>(lease(id, model)).empty()) return id;
    inspected(model);
    EXPECT_EQ(all<Grant>(ready(model)).size(), 1U) << model;
    return id;
  }

  Residency residency(const ModelId& id) const { return core_->model(id, now_)->residency; }
  ModelView view(const ModelId& id) const { return core_->model(id, now_).value(); }

  ContextOptions options_;
  std::optional<ContextManager> core_;
  TimePoint now_ = TimePoint(std::chrono::seconds(1000));
  std::map<ModelId, EngineId> engine_;  // the model's latest engine
  std::map<ModelId, std::uint64_t> ticket_;
  std::map<ModelId, Footprint> footprint_;
  bool can_park_ = false;
  std::uint64_t next_request_ = 1'000'000;  // tests choose small numbers themselves
};

}  // namespace minerva
