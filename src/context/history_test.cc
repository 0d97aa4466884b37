// What outlives the process: one core gives it, the next takes it.
#include <gtest/gtest.h>

#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;

class HistoryTest : public CoreTest {
 protected:
  // Starts another process with the same catalog, `later`. Returns what the core does at once.
  std::vector<Action> restart(std::uint64_t budget_mib, const char* policy = "lru", Duration later = seconds(1),
                              bool bring_back = true) {
    const History history = core_->history();
    now_ += later;
    start(budget_mib, 0, policy);
    for (const auto& [id, footprint] : footprint_) step(ModelAdded{.model = id});
    return step(HistoryRestored{history, bring_back});
  }
  // Lets everything come back, and returns the order.
  std::vector<ModelId> come_back(std::vector<Action> actions) {
    std::vector<ModelId> came;
    while (true) {
      const auto inspects = all<Inspect>(actions);
      if (inspects.empty()) return came;
      EXPECT_EQ(inspects.size(), 1U) << "one at a time";
      const ModelId id = inspects.front().model;
      actions = inspected(id);
      if (all<Spawn>(actions).empty()) continue;
      came.push_back(id);
      actions = ready(id);
    }
  }
};

TEST_F(HistoryTest, WhoWasResidentComesBackTheMostWantedFirst) {
  start(300);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  for (const char* id : {"a", "b", "c", "a"}) heat(id);
  EXPECT_EQ(come_back(restart(300)), (std::vector<ModelId>{"a", "c", "b"}));
  EXPECT_EQ(core_->decisions().front().reason.find("it was in memory before the restart; "), 0U);
  EXPECT_TRUE(view("a").preloaded);
  EXPECT_EQ(view("a").access_count, 2U);
  EXPECT_EQ(view("a").since_last_use, seconds(1));
  EXPECT_EQ(core_->cache_stats().hits, 1U);
  EXPECT_EQ(core_->cache_stats().misses, 3U);
  EXPECT_EQ(core_->cache_stats().preloads, 3U);
  heat("a");
  EXPECT_FALSE(view("a").preloaded);
  EXPECT_EQ(view("a").access_count, 3U);
}

// A preload alone would make it the first victim.
TEST_F(HistoryTest, TheyLeaveInTheOrderTheyWouldHaveLeft) {
  for (const char* policy : {"lru", "fifo", "lfu"}) {
    footprint_.clear();
    start(300, 0, policy);
    for (const char* id : {"a", "b", "c"}) add(id, 100);
    for (const char* id : {"b", "a", "c", "a", "b", "b"}) heat(id);
    add("d", 200);
    const std::vector<ModelId> victims = core_->plan_load("d", Bytes::mib(200), now_).value().evict;
    come_back(restart(300, policy));
    EXPECT_EQ(core_->plan_load("d", Bytes::mib(200), now_).value().evict, victims) << policy;
  }
}

TEST_F(HistoryTest, NobodyIsEvictedForThem) {
  start(300);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  for (const char* id : {"a", "b", "c"}) heat(id);
  EXPECT_EQ(come_back(restart(200)), (std::vector<ModelId>{"c", "b"}));
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
  EXPECT_EQ(residency("a"), Residency::kCold);
}

TEST_F(HistoryTest, ARequestGoesFirst) {
  start(300);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  for (const char* id : {"b", "a"}) heat(id);
  std::vector<Action> actions = restart(300);
  EXPECT_EQ(only<Inspect>(actions).model, "a");
  EXPECT_EQ(only<Inspect>(lease(kR1, "c")).model, "c");
  EXPECT_TRUE(nothing(inspected("a"))) << "it waits while a request waits";
  EXPECT_EQ(only<Spawn>(inspected("c")).model, "c");
  actions = ready("c");
  EXPECT_EQ(all<Grant>(actions).size(), 1U);
  EXPECT_EQ(all<Spawn>(actions).at(0).model, "a");
  EXPECT_EQ(only<Inspect>(ready("a")).model, "b");
}

TEST_F(HistoryTest, ALoadUnderWayMakesRoomAndIsTriedAgain) {
  start(300);
  add("a", 200);
  heat("a");
  add("b", 200);
  restart(300);
  inspected("a");
  EXPECT_EQ(residency("a"), Residency::kLoading);
  lease(kR1, "b");
  EXPECT_EQ(only<Stop>(inspected("b")).model, "a");
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
  EXPECT_EQ(only<Spawn>(exited("a", ErrorCode::kCancelled)).model, "b");
  std::vector<Action> actions = ready("b");
  EXPECT_EQ(all<Grant>(actions).size(), 1U);
  EXPECT_EQ(all<Inspect>(actions).at(0).model, "a");
  EXPECT_TRUE(nothing(inspected("a"))) << "there is no room left for it";
  EXPECT_EQ(residency("a"), Residency::kCold);
}

TEST_F(HistoryTest, ARequestJoinsWhatComesBack) {
  start(300);
  add("a", 100);
  heat("a");
  restart(300);
  inspected("a");
  EXPECT_TRUE(nothing(lease(kR1, "a")));
  EXPECT_EQ(only<Grant>(ready("a")).outcome, CacheOutcome::kMiss);
  EXPECT_FALSE(view("a").preloaded);
  EXPECT_EQ(view("a").access_count, 2U);
}

TEST_F(HistoryTest, WhoFailedLeftOrVanishedDoesNotComeBack) {
  start(500);
  for (const char* id : {"crashed", "unloaded", "vanished", "waits", "stays"}) add(id, 100);
  for (const char* id : {"crashed", "unloaded", "vanished", "waits", "stays"}) heat(id);
  exited("crashed");
  unload(kR1, "unloaded");
  exited("unloaded", ErrorCode::kCancelled);
  footprint_.erase("vanished");
  const std::vector<Action> actions = restart(500);
  EXPECT_EQ(only<Inspect>(actions).model, "stays");
  // Nor does a model come back that is unloaded while it waits for its turn.
  EXPECT_FALSE(only<Done>(unload(kR2, "waits")).changed);
  EXPECT_EQ(come_back(actions), (std::vector<ModelId>{"stays"}));
}

TEST_F(HistoryTest, OneThatFailsOnItsWayBackIsLeftAlone) {
  start(500);
  for (const char* id : {"a", "b"}) add(id, 100);
  for (const char* id : {"a", "b"}) heat(id);
  restart(500);
  inspected("b");
  std::vector<Action> actions = exited("b");
  EXPECT_EQ(come_back(actions), (std::vector<ModelId>{"a"}));
  EXPECT_EQ(come_back(restart(500)), (std::vector<ModelId>{"a"}));
}

// Its load may have ended the process.
TEST_F(HistoryTest, OneThatWasLoadingAtTheEndIsNotTriedAgain) {
  start(500);
  for (const char* id : {"a", "b"}) add(id, 100);
  for (const char* id : {"a", "b"}) heat(id);
  restart(500);
  inspected("b");
  EXPECT_EQ(come_back(restart(500)), (std::vector<ModelId>{"a"}));
}

TEST_F(HistoryTest, ADrainForgetsNobody) {
  start(500);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  for (const char* id : {"a", "b"}) heat(id);
  const RequestId busy = heat_and_hold("c");
  step(DrainRequested{now_ + kPatience});
  exited("a", ErrorCode::kCancelled);
  exited("b", ErrorCode::kCancelled);
  release(busy);
  exited("c", ErrorCode::kCancelled);
  EXPECT_TRUE(core_->drained());
  EXPECT_EQ(come_back(restart(500)), (std::vector<ModelId>{"c", "b", "a"}));
}

TEST_F(HistoryTest, NobodyComesBackUnderPressure) {
  start(500);
  for (const char* id : {"a", "b"}) add(id, 100);
  heat("a");
  const History history = core_->history();
  start(500);
  for (const char* id : {"a", "b"}) add(id, 100);
  step(PressureChanged{true, Bytes()});
  EXPECT_TRUE(nothing(step(HistoryRestored{history})));
  EXPECT_EQ(only<Inspect>(step(PressureChanged{false, Bytes()})).model, "a");
}

TEST_F(HistoryTest, WhoWouldHaveBeenUnloadedMeanwhileStaysAway) {
  start(500);
  for (const char* id : {"a", "b"}) add(id, 100);
  for (const char* id : {"a", "b"}) heat(id);
  const History history = core_->history();
  now_ += hours(9);
  start(500);
  step(ModelAdded{.model = "a"});
  step(ModelAdded{.model = "b", .unload_ttl = hours(8)});
  EXPECT_EQ(come_back(step(HistoryRestored{history})), (std::vector<ModelId>{"a"}));
}

TEST_F(HistoryTest, AGuessThatNobodyUsedIsNotMadeAgain) {
  ContextOptions options;
  options.memory_budget = Bytes::mib(500);
  options.prediction.preload = true;
  start(options);
  for (const char* id : {"a", "b"}) add(id, 100);
  for (int i = 0; i < 10; ++i) {
    heat("a");
    heat("b");
  }
  unload(kR1, "b");
  exited("b", ErrorCode::kCancelled);
  const RequestId last = heat_and_hold("a");
  ASSERT_EQ(only<Inspect>(release(last)).model, "b") << "it is always asked for next";
  inspected("b");
  ready("b");
  ASSERT_TRUE(view("b").preloaded);
  const History history = core_->history();
  EXPECT_EQ(history.models.at(0).id, "a");
  for (const ModelHistory& model : history.models) EXPECT_EQ(model.resident.has_value(), model.id == "a") << model.id;
}

TEST_F(HistoryTest, PinsOfOperatorsGoOn) {
  start(500);
  add("pinned", 100);
  add("unpinned", 100, /*pinned=*/true);
  add("config", 100, /*pinned=*/true);
  step(PinRequested{kR1, "pinned", true});
  step(PinRequested{kR2, "unpinned", false});
  const History history = core_->history();
  start(500);
  add("pinned", 100);
  add("unpinned", 100, /*pinned=*/true);
  add("config", 100, /*pinned=*/false);  // the file was edited meanwhile
  step(HistoryRestored{history});
  EXPECT_TRUE(view("pinned").pinned);
  EXPECT_FALSE(view("unpinned").pinned);
  EXPECT_FALSE(view("config").pinned);
}

// a was being worked with when the process ended; b is popular.
TEST_F(HistoryTest, RatesAgeWhileThereIsNoProcess) {
  const auto order_after = [&](Duration downtime) {
    footprint_.clear();
    start(500, 0, "hazard");
    for (const char* id : {"a", "b"}) add(id, 100);
    for (int day = 0; day < 20; ++day) {
      heat("b");
      now_ += hours(12);
    }
    for (int i = 0; i < 10; ++i) {
      heat("a");
      now_ += seconds(10);
    }
    return come_back(restart(500, "hazard", downtime));
  };
  EXPECT_EQ(order_after(seconds(1)), (std::vector<ModelId>{"a", "b"}));
  EXPECT_EQ(order_after(hours(24 * 7)), (std::vector<ModelId>{"b", "a"}));
}

TEST_F(HistoryTest, TimesOfLoadsAreKnownAndAnotherPolicyLearnsNothing) {
  start(500);
  add("a", 100);
  lease(kR1, "a");
  inspected("a");
  now_ += seconds(7);
  ready("a");
  release(kR1);
  restart(500, "gdsf");
  EXPECT_EQ(view("a").expected_load_time, seconds(7));
}

TEST_F(HistoryTest, WhatEachPolicyLearnedComesBack) {
  for (const std::string& policy : policy_names()) {
    footprint_.clear();
    start(200, 0, policy.c_str());
    for (const char* id : {"a", "b", "c"}) add(id, 100);
    for (const char* id : {"a", "b", "a", "b"}) heat(id);
    lease(kR1, "c");
    inspected("c");
    const ModelId victim = residency("a") == Residency::kStopping ? "a" : "b";
    exited(victim, ErrorCode::kCancelled);
    ready("c");
    release(kR1);
    const History before = core_->history();
    restart(200, policy.c_str(), Duration::zero(), /*bring_back=*/false);
    const History after = core_->history();
    EXPECT_EQ(after.learned, before.learned) << policy;
    for (const ModelHistory& model : before.models) {
      for (const ModelHistory& again : after.models) {
        if (again.id == model.id) EXPECT_EQ(again.learned, model.learned) << policy;
      }
    }
  }
}

TEST_F(HistoryTest, ItIsIgnoredOnceAnythingWasResident) {
  start(500);
  add("a", 100);
  heat("a");
  const History history = core_->history();
  heat("a");
  EXPECT_TRUE(nothing(step(HistoryRestored{history})));
  EXPECT_EQ(core_->cache_stats().hits, 1U);
}

// ---- forgotten ----

TEST_F(HistoryTest, StatisticsAreClearedAlone) {
  start(500);
  add("a", 100);
  heat("a");
  step(ClearRequested{.stats = true});
  EXPECT_EQ(core_->cache_stats(), CacheStats{});
  EXPECT_EQ(view("a").access_count, 1U);
}

TEST_F(HistoryTest, UsesAndTimesAreCleared) {
  for (const std::string& policy : policy_names()) {
    footprint_.clear();
    start(500, 0, policy.c_str());
    for (const char* id : {"a", "b"}) add(id, 100);
    for (const char* id : {"a", "b", "b"}) heat(id);
    step(ClearRequested{.history = true});
    EXPECT_EQ(core_->cache_stats().hits, 1U);
    EXPECT_EQ(view("b").access_count, 0U);
    EXPECT_EQ(view("b").since_last_use, std::nullopt);
    EXPECT_EQ(view("b").expected_load_time, std::nullopt);
    for (const ModelHistory& model : core_->history().models) {
      EXPECT_FALSE(model.learned) << policy;
      EXPECT_FALSE(model.load_time) << policy;
    }
  }
}

TEST_F(HistoryTest, WithItsHistoryNoIdleTimeIsLost) {
  start(500);
  step(ModelAdded{.model = "a", .ttl = minutes(30)});
  footprint_["a"] = Bytes::mib(100);
  heat("a");
  now_ += minutes(29);
  heat("a");
  now_ += minutes(5);
  EXPECT_TRUE(nothing(step(ClearRequested{.history = true})));
  EXPECT_EQ(only<Stop>(wait(minutes(25))).model, "a");
}

TEST_F(HistoryTest, ImagesGoWithIdleParkedModels) {
  engines_can_park();
  start(500);
  for (const char* id : {"idle", "pinned", "hot"}) add(id, 100);
  for (const char* id : {"idle", "pinned", "hot"}) heat(id);
  for (const char* id : {"idle", "pinned"}) {
    park(next_id(), id);
    parked(id, 5);
  }
  step(PinRequested{next_id(), "pinned", true});
  EXPECT_EQ(only<Stop>(step(ClearRequested{.images = true})).model, "idle");
}

}  // namespace
}  // namespace minerva
