// ContextManager::plan_load: what a load would do. The simulator checks that the dry run agrees with the load in every
// situation (Referee::check_trial); these tests check what it says.
#include <gtest/gtest.h>

#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::hours;
using std::chrono::minutes;

class DryRun : public CoreTest {
 protected:
  LoadPlan plan(const ModelId& model) { return core_->plan_load(model, footprint_.at(model), now_).value(); }
};

TEST_F(DryRun, NothingIsLoadedWhileTheMachinesMemoryIsShort) {
  start(1000);
  add("a", 100);
  EXPECT_TRUE(plan("a").possible);
  step(PressureChanged{true, Bytes()});
  EXPECT_FALSE(plan("a").possible);
  EXPECT_NE(plan("a").reason.find("memory is short"), std::string::npos);
}

TEST_F(DryRun, NothingIsLoadedOnceTheServerDrains) {
  start(1000);
  add("a", 100);
  step(DrainRequested{now_ + hours(1)});
  EXPECT_FALSE(plan("a").possible);
  EXPECT_NE(plan("a").reason.find("shutting down"), std::string::npos);
}

TEST_F(DryRun, NothingIsLoadedBeyondAFullQueue) {
  ContextOptions options;
  options.max_queue = 1;
  start(options);
  for (const char* id : {"a", "b"}) add(id, 100);
  lease(kR1, "a");
  EXPECT_FALSE(plan("b").possible);
  EXPECT_NE(plan("b").reason.find("1 request waits already"), std::string::npos);
}

TEST_F(DryRun, WhoWaitsAlreadyHasItsTurnFirst) {
  start(1000);
  add("idle", 300);
  add("busy", 600);
  add("first", 800);
  add("second", 300);
  heat("idle");
  const RequestId held = heat_and_hold("busy");
  EXPECT_EQ(plan("second").evict, std::vector<ModelId>{"idle"});
  lease(kR1, "first");
  inspected("first");
  EXPECT_FALSE(plan("second").possible) << "idle leaves for the first, as soon as busy does";
  load(kR2, "second");
  EXPECT_EQ(only<Reject>(inspected("second")).error.code, ErrorCode::kConflict);
  release(held);
}

TEST_F(DryRun, ReckonsWithRanksAsTheyAreByThen) {
  start(200, 0, "hazard");
  for (const char* id : {"popular", "recent", "c"}) add(id, 100);
  for (int i = 0; i < 10; ++i) heat("popular");
  now_ += minutes(20);
  heat("recent");
  EXPECT_EQ(plan("c").evict, std::vector<ModelId>{"popular"});
  now_ += hours(1);  // nothing happens in this hour
  EXPECT_EQ(plan("c").evict, std::vector<ModelId>{"recent"});
}

TEST_F(DryRun, ChangesNothing) {
  start(200);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  heat("a");
  heat("b");
  const std::size_t decisions = core_->decisions().size();
  EXPECT_EQ(plan("c").evict, std::vector<ModelId>{"a"});
  core_->check_invariants();
  EXPECT_EQ(core_->decisions().size(), decisions);
  EXPECT_EQ(core_->residency("a", now_), Residency::kHot);
  EXPECT_EQ(core_->residency("c", now_), Residency::kCold);
  EXPECT_TRUE(core_->changes().empty() || core_->changes().front().model != "c");
}

TEST_F(DryRun, WaitsForTheEndOfWhatGoesOn) {
  start(200);
  add("a", 150);
  heat("a");
  unload(kR1, "a");
  const LoadPlan plan_of_stopping = plan("a");
  EXPECT_TRUE(plan_of_stopping.possible) << plan_of_stopping.reason;
  EXPECT_TRUE(plan_of_stopping.evict.empty());
}

}  // namespace
}  // namespace minerva
