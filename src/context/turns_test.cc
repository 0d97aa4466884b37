// Which model's turn it is where models wait for room: order, priority, how long a busy model stays, and how often
// models switch.
#include <gtest/gtest.h>

#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Turns : public CoreTest {
 protected:
  std::vector<Action> lease_of(RequestId id, const ModelId& model, Priority priority, Duration patience = kPatience) {
    return step(LeaseRequested{id, model, now_ + patience, {UserId{1}, priority}});
  }
  // A request for b or c waits for room.
  void wait_for(RequestId id, const ModelId& model, Priority priority) {
    lease_of(id, model, priority);
    inspected(model);
  }
  // Three models, of which one fits.
  void start_three(const ContextOptions& more) {
    ContextOptions options = more;
    options.memory_budget = Bytes::mib(1000);
    options.max_models = 1;
    start(options);
    for (const char* id : {"a", "b", "c"}) add(id, 100);
  }
};

// No other event is necessary for it.
TEST_F(Turns, AModelStartsInWhatIsFreeAndWhoLeavesForItMakesRoomForAnEarlierOne) {
  start(700);
  for (const auto& [id, mib] : {std::pair("a", 500), {"b", 200}, {"c", 400}, {"e", 100}}) add(id, mib);
  heat("c");
  heat("e");
  lease(kR1, "a");
  EXPECT_EQ(only<Stop>(inspected("a")).model, "c");
  lease(kR2, "b");
  const auto actions = inspected("b");
  ASSERT_EQ(all<Stop>(actions).size(), 1U);
  EXPECT_EQ(all<Stop>(actions)[0].model, "e");
  ASSERT_EQ(all<Spawn>(actions).size(), 1U);
  EXPECT_EQ(all<Spawn>(actions)[0].model, "b");
  exited("c");
  EXPECT_EQ(only<Spawn>(exited("e")).model, "a");
}

TEST_F(Turns, ABusyVictimDrainsAfterItsMinimumResidency) {
  start(1000, 1);
  add("a", 100);
  add("b", 100);
  const RequestId held = heat_and_hold("a");
  lease(kR1, "b");
  EXPECT_TRUE(inspected("b").empty());
  EXPECT_EQ(only<Grant>(lease(kR2, "a")).outcome, CacheOutcome::kHit);
  // New requests for it queue from two seconds after it became hot.
  EXPECT_EQ(core_->next_timer(), now_ + seconds(2));
  EXPECT_TRUE(nothing(wait(seconds(2))));
  EXPECT_TRUE(lease(kR3, "a").empty());
  EXPECT_EQ(core_->cache_stats().hits, 2U);
  EXPECT_TRUE(release(held).empty());
  EXPECT_EQ(only<Stop>(release(kR2)).victim_of, "b");
  const auto after_exit = exited("a");
  EXPECT_EQ(all<Spawn>(after_exit).at(0).model, "b");
  EXPECT_EQ(all<Inspect>(after_exit).at(0).model, "a");
  inspected("a");
  EXPECT_EQ(only<Grant>(ready("b")).request, kR1);
  wait(seconds(2));
  EXPECT_EQ(only<Stop>(release(kR1)).model, "b");
  EXPECT_EQ(only<Spawn>(exited("b")).model, "a");
  // The model was resident when the request came, so the request stays a hit.
  const Grant grant = only<Grant>(ready("a"));
  EXPECT_EQ(grant.request, kR3);
  EXPECT_EQ(grant.outcome, CacheOutcome::kHit);
}

TEST_F(Turns, WhenTheClaimantLeavesTheQueueIsServedAtOnce) {
  start(1000, 1);
  add("a", 100);
  add("b", 100);
  const RequestId held = heat_and_hold("a");
  now_ += seconds(2);
  lease(kR1, "b");
  inspected("b");
  EXPECT_TRUE(lease(kR2, "a").empty());
  EXPECT_EQ(only<Grant>(step(RequestCancelled{kR1})).request, kR2);
  release(held);
  release(kR2);
  EXPECT_EQ(residency("a"), Residency::kHot);
}

// The end of a lease refreshes recency. If that changed which model drains, two busy models could take turns for ever.
TEST_F(Turns, OverlappingLeasesOnTwoModelsDoNotStarveAThird) {
  start(1000, 2);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  RequestId on_a = heat_and_hold("a");
  const RequestId on_b = heat_and_hold("b");
  now_ += seconds(3);
  lease(kR1, "c");
  EXPECT_TRUE(nothing(inspected("c")));
  // a was used first, so it drains; b continues.
  const RequestId on_a_too = next_id();
  EXPECT_TRUE(lease(on_a_too, "a").empty());
  EXPECT_EQ(all<Grant>(lease(kR2, "b")).size(), 1U);
  release(on_b);
  EXPECT_EQ(only<Stop>(release(on_a)).model, "a");
}

TEST_F(Turns, ALaterModelMayUseWhatIsLeftOverButNoMore) {
  start(1000);
  add("busy", 600);
  add("large", 700);
  add("small", 200);
  add("medium", 350);
  const RequestId held = heat_and_hold("busy");
  now_ += seconds(2);
  lease(kR1, "large");
  EXPECT_TRUE(nothing(inspected("large")));
  // Beside large, 300 will be left. medium would take some of that; small does not.
  lease(kR2, "medium");
  EXPECT_TRUE(inspected("medium").empty());
  step(RequestCancelled{kR2});
  lease(kR3, "small");
  EXPECT_EQ(only<Spawn>(inspected("small")).model, "small");
  EXPECT_EQ(only<Stop>(release(held)).model, "busy");
  EXPECT_EQ(only<Spawn>(exited("busy")).model, "large");
}

TEST_F(Turns, TheOldestWaiterIsServedFirst) {
  start(1000, 1);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  const RequestId held = heat_and_hold("a");
  now_ += seconds(2);
  lease(kR1, "b");
  lease(kR2, "c");
  inspected("c");
  inspected("b");
  EXPECT_EQ(only<Stop>(release(held)).victim_of, "b");
  EXPECT_EQ(only<Spawn>(exited("a")).model, "b");
}

// Two models are each other's victims, and both have waiting requests. A drained one must leave although it is wanted.
TEST_F(Turns, NoDeadlockBetweenTwoWantedModels) {
  start(1000, 1);
  add("a", 100);
  add("b", 100);
  RequestId held = heat_and_hold("a");
  for (int round = 0; round < 6; ++round) {
    const ModelId here = round % 2 == 0 ? "a" : "b";
    const ModelId there = round % 2 == 0 ? "b" : "a";
    now_ += seconds(2);
    const RequestId claimant = next_id();
    lease(claimant, there);
    inspected(there);
    const RequestId queued = next_id();
    EXPECT_TRUE(lease(queued, here).empty());
    EXPECT_EQ(all<Stop>(release(held)).size(), 1U);
    EXPECT_EQ(all<Spawn>(exited(here)).at(0).model, there);
    EXPECT_EQ(only<Grant>(ready(there)).request, claimant);
    step(RequestCancelled{queued});
    held = claimant;
  }
}

// ---- priority ----

TEST_F(Turns, HighPriorityGoesFirstByItsHeadStart) {
  start_three({.head_start = seconds(5)});
  const RequestId held = heat_and_hold("a");
  wait_for(kR1, "b", Priority::kNormal);
  now_ += milliseconds(4999);
  wait_for(kR2, "c", Priority::kHigh);
  EXPECT_EQ(only<Stop>(release(held)).victim_of, "c");
}

TEST_F(Turns, WhoWaitedLongerThanTheHeadStartIsNotOvertaken) {
  start_three({.head_start = seconds(5)});
  const RequestId held = heat_and_hold("a");
  wait_for(kR1, "b", Priority::kNormal);
  now_ += milliseconds(5001);
  wait_for(kR2, "c", Priority::kHigh);
  EXPECT_EQ(only<Stop>(release(held)).victim_of, "b");
}

TEST_F(Turns, LowPriorityLetsOthersGoFirst) {
  start_three({.head_start = seconds(5)});
  const RequestId held = heat_and_hold("a");
  wait_for(kR1, "b", Priority::kLow);
  now_ += seconds(3);
  wait_for(kR2, "c", Priority::kNormal);
  EXPECT_EQ(only<Stop>(release(held)).victim_of, "c");
  exited("a");
  ready("c");
  EXPECT_EQ(only<Stop>(release(kR2)).victim_of, "b") << "and then it is its turn";
}

TEST_F(Turns, AnUrgentRequestTakesItsWholeModelAlong) {
  start_three({.head_start = seconds(5)});
  const RequestId held = heat_and_hold("a");
  wait_for(kR1, "b", Priority::kNormal);
  wait_for(kR2, "c", Priority::kLow);
  lease_of(kR3, "c", Priority::kHigh);
  EXPECT_EQ(only<Stop>(release(held)).victim_of, "c");
  exited("a");
  EXPECT_EQ(all<Grant>(ready("c")).size(), 2U);
}

// ---- how long a busy model stays ----

TEST_F(Turns, ABusyModelDrainsEarlierForADeadline) {
  ContextOptions options;
  options.min_residency = seconds(60);
  start_three(options);
  const RequestId held = next_id();
  lease(held, "a");
  inspected("a");
  now_ += seconds(3);
  ready("a");
  // Loads are estimated at three seconds.
  lease(kR1, "b", seconds(10));
  EXPECT_TRUE(nothing(inspected("b")));
  EXPECT_EQ(only<Grant>(lease(kR2, "a")).outcome, CacheOutcome::kHit);
  EXPECT_EQ(core_->next_timer(), now_ + seconds(7));
  wait(seconds(7));
  EXPECT_TRUE(lease(kR3, "a").empty()) << "it drains";
  release(held);
  EXPECT_EQ(only<Stop>(release(kR2)).victim_of, "b");
}

// ---- how often they switch ----

TEST_F(Turns, NoMoreSwitchesInASecondThanAllowed) {
  ContextOptions options;
  options.max_switches_per_second = 2;
  start_three(options);
  heat("a");
  const auto switch_to = [&](const ModelId& there) {
    lease(next_id(), there);
    return inspected(there);
  };
  EXPECT_EQ(only<Stop>(switch_to("b")).victim_of, "b");
  exited("a");
  const RequestId on_b = all<Grant>(ready("b")).at(0).request;
  now_ += milliseconds(300);
  release(on_b);
  EXPECT_EQ(only<Stop>(switch_to("c")).victim_of, "c");
  exited("b");
  release(all<Grant>(ready("c")).at(0).request);
  now_ += milliseconds(100);
  EXPECT_TRUE(nothing(switch_to("a"))) << "two in this second";
  EXPECT_EQ(core_->next_timer(), now_ + milliseconds(600)) << "a second after the first";
  EXPECT_EQ(only<Stop>(wait(milliseconds(600))).victim_of, "a");
}

TEST_F(Turns, ManyVictimsAreOneSwitch) {
  ContextOptions options;
  options.memory_budget = Bytes::mib(300);
  options.max_switches_per_second = 1;
  start(options);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  add("large", 300);
  for (const char* id : {"a", "b", "c"}) heat(id);
  lease(kR1, "large");
  EXPECT_EQ(all<Stop>(inspected("large")).size(), 3U);
}

class TurnsByPool : public Turns {
 protected:
  // "a" has a lease and most of the device; "b" waits for the device.
  void start_with_device() {
    ContextOptions options;
    options.memory_budget = Bytes::mib(1000);
    options.devices = {{"gpu", Bytes::mib(500)}};
    start(options);
    add_on_device("a", 100, 400);
    add_on_device("b", 100, 300);
    heat_and_hold("a");
  }
  void add_on_device(const ModelId& id, std::uint64_t host_mib, std::uint64_t device_mib) {
    add(id, host_mib);
    footprint_[id].set(1, Bytes::mib(device_mib));
  }
};

TEST_F(TurnsByPool, AModelThatWaitsForADeviceHoldsUpNobodyElsewhere) {
  start_with_device();
  add("c", 600);
  add("d", 500);
  heat("c");
  lease(kR1, "b");
  EXPECT_TRUE(nothing(inspected("b")));
  lease(kR2, "d");
  EXPECT_EQ(only<Stop>(inspected("d")).model, "c");
  EXPECT_EQ(only<Spawn>(exited("c")).model, "d");
  EXPECT_EQ(only<Grant>(ready("d")).request, kR2);
}

TEST_F(TurnsByPool, AModelOfTheDeviceStaysForTheOneThatWaitsForIt) {
  start_with_device();
  add_on_device("c", 600, 50);
  add("d", 500);
  heat("c");
  lease(kR1, "b");
  EXPECT_TRUE(nothing(inspected("b")));
  lease(kR2, "d");
  EXPECT_TRUE(nothing(inspected("d")));
  // Once a leaves for b, the model may leave for d.
  wait(seconds(2));
  const std::vector<Stop> stops = all<Stop>(release(RequestId{1'000'000}));
  ASSERT_EQ(stops.size(), 2U);
  EXPECT_EQ(stops[0].model + " for " + stops[0].victim_of, "a for b");
  EXPECT_EQ(stops[1].model + " for " + stops[1].victim_of, "c for d");
}

}  // namespace
}  // namespace minerva
