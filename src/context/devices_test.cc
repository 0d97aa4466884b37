// Devices that other programs use as well: who leaves when they take memory, and what becomes of a model that has no
// room there any more.
#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::seconds;

class Devices : public CoreTest {
 protected:
  // A device with a budget of 1000 MiB.
  void SetUp() override {
    engines_can_park();
    ContextOptions options;
    options.memory_budget = Bytes::mib(10'000);
    options.devices = {{"gpu", Bytes::mib(1000)}};
    start(options);
  }
  static Footprint on_gpu(std::uint64_t mib, std::uint64_t host_mib = 100) {
    Footprint footprint(Bytes::mib(host_mib));
    footprint.set(1, Bytes::mib(mib));
    return footprint;
  }
  void add_on_gpu(const ModelId& id, std::uint64_t mib) {
    add(id, 100);
    footprint_[id] = on_gpu(mib);
  }
  void heat_and_park(const ModelId& id) {
    heat(id);
    park(next_id(), id);
    parked(id, 10);
    ASSERT_EQ(residency(id), Residency::kParked);
  }
  std::vector<Action> left_on_gpu(std::uint64_t mib) {
    Footprint available = Footprint::unbounded();
    available.set(1, Bytes::mib(mib));
    return step(DevicesChanged{available});
  }
  std::vector<Action> wake_refused(const ModelId& id) {
    return step(WakeRefused{engine_.at(id), {ErrorCode::kNoCapacity, "no room"}});
  }
  PoolView gpu() const { return core_->pools().at(1); }
};

TEST_F(Devices, IdleModelsMakeWayForOtherProgramsUntilTheRestFits) {
  for (const char* id : {"a", "b", "c"}) add_on_gpu(id, 300);
  for (const char* id : {"a", "b", "c"}) heat(id);
  EXPECT_TRUE(left_on_gpu(900).empty());
  EXPECT_EQ(gpu().available, Bytes::mib(900));
  const auto actions = left_on_gpu(700);
  EXPECT_EQ(only<Park>(actions).model, "a");
  EXPECT_NE(only<Park>(actions).reason.find("other programs"), std::string::npos);
  parked("a", 10);
  EXPECT_EQ(gpu().reserved, Bytes::mib(600));
  EXPECT_EQ(core_->cache_stats().evictions, 1U);
}

TEST_F(Devices, ABusyModelStaysUntilItsRequestEnds) {
  add_on_gpu("a", 800);
  const RequestId request = heat_and_hold("a");
  EXPECT_TRUE(left_on_gpu(500).empty());
  EXPECT_EQ(only<Park>(release(request)).model, "a");
}

TEST_F(Devices, TheHostsModelsStay) {
  add("h", 5000);
  add_on_gpu("a", 800);
  heat("h");
  heat("a");
  EXPECT_EQ(only<Park>(left_on_gpu(100)).model, "a");
  EXPECT_EQ(residency("h"), Residency::kHot);
}

TEST_F(Devices, WhatOthersHaveIsNoRoomForALoad) {
  add_on_gpu("a", 400);
  add_on_gpu("b", 500);
  heat("a");
  left_on_gpu(800);
  lease(kR1, "b");
  EXPECT_EQ(only<Park>(inspected("b")).model, "a") << "by the budget both had room";
  EXPECT_EQ(only<Spawn>(parked("a", 10)).model, "b");
}

TEST_F(Devices, AModelThatDoesNotFitBesideOthersIsRefusedForNow) {
  add_on_gpu("a", 600);
  left_on_gpu(500);
  lease(kR1, "a");
  const Reject refused = only<Reject>(inspected("a"));
  EXPECT_EQ(refused.error.code, ErrorCode::kNoCapacity);
  EXPECT_NE(refused.error.message.find("the device \"gpu\" has no room for it"), std::string::npos);
  EXPECT_GT(refused.error.retry_after_s, 0);
  EXPECT_EQ(core_->request_counts().shed, 1U);
  footprint_["a"] = on_gpu(1001);
  lease(kR2, "a");
  EXPECT_EQ(only<Reject>(inspected("a")).error.code, ErrorCode::kBudgetExceeded) << "it never fits";
}

TEST_F(Devices, AParkedModelThatDoesNotFitAnyMoreIsPlacedAnew) {
  add_on_gpu("a", 600);
  heat_and_park("a");
  EXPECT_TRUE(left_on_gpu(500).empty()) << "nobody wants it";
  const Stop stop = only<Stop>(lease(kR1, "a"));
  EXPECT_FALSE(stop.evicted);
  EXPECT_EQ(only<Inspect>(exited("a", ErrorCode::kCancelled)).model, "a");
  footprint_["a"] = Bytes::mib(700);
  inspected("a");
  EXPECT_EQ(all<Grant>(ready("a")).size(), 1U);
}

TEST_F(Devices, ARefusedWakeHoldsNothingAndIsTriedAgainAfterAWhile) {
  add_on_gpu("a", 600);
  add_on_gpu("b", 300);
  const RequestId busy = heat_and_hold("b");
  heat_and_park("a");
  EXPECT_EQ(only<Wake>(lease(kR1, "a", seconds(100))).model, "a");
  EXPECT_TRUE(nothing(wake_refused("a"))) << "b may still leave, and the request waits";
  EXPECT_EQ(residency("a"), Residency::kParked);
  EXPECT_EQ(gpu().reserved, Bytes::mib(300));
  EXPECT_LT(gpu().available, Bytes::mib(900));
  EXPECT_TRUE(all<Wake>(wait(seconds(29))).empty());
  EXPECT_EQ(core_->next_timer(), now_ + seconds(1));
  EXPECT_EQ(only<Wake>(wait(seconds(1))).model, "a");
  EXPECT_EQ(all<Grant>(woken("a")).size(), 1U);
  EXPECT_EQ(view("a").wakes, 1U);
  release(busy);
}

TEST_F(Devices, OthersLeaveOneAfterTheOtherForAWakeThatIsRefused) {
  add_on_gpu("a", 300);
  add_on_gpu("b", 300);
  add_on_gpu("c", 300);
  heat_and_park("a");
  heat("b");
  heat("c");
  EXPECT_EQ(only<Wake>(lease(kR1, "a")).model, "a");
  EXPECT_EQ(only<Park>(wake_refused("a")).model, "b");
  EXPECT_EQ(only<Wake>(parked("b", 10)).model, "a");
  EXPECT_EQ(only<Park>(wake_refused("a")).model, "c");
  EXPECT_EQ(only<Wake>(parked("c", 10)).model, "a");
  // It has the device for itself, and still no room.
  EXPECT_EQ(only<Stop>(wake_refused("a")).model, "a");
  EXPECT_EQ(only<Inspect>(exited("a", ErrorCode::kCancelled)).model, "a");
}

TEST_F(Devices, ALoadWithoutRoomIsTriedElsewhereAndIsNoFault) {
  add_on_gpu("a", 300);
  lease(kR1, "a");
  load(kR2, "a");
  inspected("a");
  const auto actions = exited("a", ErrorCode::kNoCapacity);
  ASSERT_EQ(all<Reject>(actions).size(), 1U);
  EXPECT_EQ(all<Reject>(actions)[0].request, kR2) << "an operator is told";
  EXPECT_EQ(all<Reject>(actions)[0].error.code, ErrorCode::kNoCapacity);
  EXPECT_EQ(all<Inspect>(actions).size(), 1U) << "the request gets one more engine";
  EXPECT_EQ(view("a").breaker, BreakerState::kClosed);
  EXPECT_FALSE(view("a").last_failure);
  EXPECT_EQ(gpu().available, Bytes::mib(300) - Bytes(1));
  footprint_["a"] = Bytes::mib(300);
  EXPECT_EQ(only<Spawn>(inspected("a")).model, "a");
}

TEST_F(Devices, AWakeThatIsRefusedForNoDeviceIsFollowedByALoad) {
  add("h", 500);
  heat("h");
  park(next_id(), "h");
  parked("h", 10);
  EXPECT_EQ(only<Wake>(lease(kR1, "h")).model, "h");
  EXPECT_EQ(only<Stop>(wake_refused("h")).model, "h");
  EXPECT_EQ(only<Inspect>(exited("h", ErrorCode::kCancelled)).model, "h");
}

TEST_F(Devices, TheDryRunKnowsWhatOthersHave) {
  add_on_gpu("a", 600);
  EXPECT_TRUE(core_->plan_load("a", on_gpu(600), now_)->possible);
  left_on_gpu(500);
  const LoadPlan plan = core_->plan_load("a", on_gpu(600), now_).value();
  EXPECT_FALSE(plan.possible);
  EXPECT_NE(plan.reason.find("other programs"), std::string::npos) << plan.reason;
}

TEST_F(Devices, AModelThatKeepsItsPagesGivesThemToNobodyThatWakes) {
  step(ModelAdded{.model = "a", .keeps_pages = true});
  step(ModelAdded{.model = "b"});
  add_on_gpu("c", 300);
  footprint_["a"] = footprint_["b"] = on_gpu(300);
  for (const char* id : {"a", "b", "c"}) heat_and_park(id);
  lease(kR1, "c");
  const auto actions = step(EngineWoken{
      .engine = engine_["c"], .missing = Bytes::mib(150), .displaced = Bytes::mib(150), .page_cache = Bytes::mib(200)});
  ASSERT_EQ(all<DropPages>(actions).size(), 1U);
  EXPECT_EQ(all<DropPages>(actions)[0].model, "b");
  EXPECT_EQ(view("a").cached, Bytes::mib(100));
  EXPECT_EQ(only<DropPages>(step(PressureChanged{true, Bytes::mib(50)})).model, "a") << "before anybody is parked";
}

}  // namespace
}  // namespace minerva
