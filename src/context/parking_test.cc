// Hot, parked and back: which model is parked instead of stopped, what it then holds, what waits for it, and what gives
// way when memory or disk is short.
#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

class Parking : public CoreTest {
 protected:
  void SetUp() override { engines_can_park(); }

  // Makes the model hot, uses it once, and has an operator park it.
  void heat_and_park(const ModelId& model, std::uint64_t residue_mib, std::uint64_t image_mib = 10) {
    heat(model);
    ASSERT_EQ(all<Park>(park(next_id(), model)).size(), 1U);
    parked(model, residue_mib, image_mib);
    ASSERT_EQ(residency(model), Residency::kParked);
  }

  // Parks a, whose image leaves no room on disk for the image of b, which is hot.
  void start_with_images_in_the_way() {
    ContextOptions options;
    options.memory_budget = Bytes::mib(1000);
    options.parking = parking_;
    start(options);
    add("a", 500);
    add("b", 400);
    heat_and_park("a", 300, 60);
    heat("b");
    park(next_id(), "b");
    step(ParkRefused{engine_["b"], {ErrorCode::kIo, "too large"}, /*image_wanted=*/Bytes::mib(60)});
  }

  const ParkingLimits parking_{.images = Bytes::mib(100)};
};

// ---- victims ----

TEST_F(Parking, AVictimIsParkedIfThatFreesWhatIsNeeded) {
  start(1000, 1);
  add("a", 500);
  add("b", 500);
  heat("a");
  lease(kR1, "b");
  const auto actions = inspected("b");
  ASSERT_EQ(all<Park>(actions).size(), 1U);
  const Park action = all<Park>(actions)[0];
  EXPECT_EQ(action.model, "a");
  EXPECT_EQ(action.victim_of, "b");
  EXPECT_TRUE(all<Spawn>(actions).empty()) << "the memory is not free before it is parked";
  EXPECT_EQ(residency("a"), Residency::kParking);
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(500));
  EXPECT_EQ(all<ReadAhead>(actions).size(), 1U);

  EXPECT_EQ(only<Spawn>(parked("a", 30)).model, "b");
  EXPECT_EQ(residency("a"), Residency::kParked);
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(530));
  EXPECT_EQ(view("a").memory, Bytes::mib(30));
  EXPECT_EQ(view("a").image, Bytes::mib(10));
  EXPECT_EQ(core_->cache_stats().evictions, 1U);
  ready("b");
  EXPECT_EQ(core_->loaded_models(), std::vector<ModelId>{"b"});
}

TEST_F(Parking, ALoadSaysWhoWasParkedForIt) {
  start(1000, 1);
  add("a", 500);
  add("b", 500);
  heat("a");
  load(kR1, "b");
  inspected("b");
  parked("a", 30);
  EXPECT_EQ(only<Done>(ready("b")).evicted, std::vector<ModelId>{"a"});
}

TEST_F(Parking, AVictimIsStoppedIfParkingFreesTooLittle) {
  start(1000);
  add("a", 500);
  add("b", 990);
  heat("a");
  lease(kR1, "b");
  const auto actions = inspected("b");
  EXPECT_TRUE(all<Park>(actions).empty());
  EXPECT_EQ(all<Stop>(actions).size(), 1U) << "beside what a parked model keeps there is no room";
}

TEST_F(Parking, WhatItKeptLastTimeIsWhatItWillKeep) {
  start(1000);
  add("a", 500);
  add("b", 960);
  heat_and_park("a", 5);
  lease(kR1, "a");
  woken("a");
  release(kR1);
  lease(kR2, "b");
  EXPECT_EQ(all<Park>(inspected("b")).size(), 1U) << "a guess would have been too much";
}

TEST_F(Parking, HotOnesAreParkedBeforeParkedOnesAreStopped) {
  start(1000);
  add("a", 450);
  add("b", 450);
  add("c", 450);
  heat_and_park("a", 40);
  heat("b");
  heat("c");
  add("d", 450);
  lease(kR1, "d");
  const auto actions = inspected("d");
  ASSERT_EQ(all<Park>(actions).size(), 1U);
  EXPECT_EQ(all<Park>(actions)[0].model, "b") << "though a was used before it";
  EXPECT_TRUE(all<Stop>(actions).empty());
}

TEST_F(Parking, ParkedOnesAreStoppedInThePolicysOrder) {
  start(1000);
  add("a", 450);
  add("b", 450);
  add("c", 950);
  heat_and_park("a", 40);
  heat_and_park("b", 40);
  lease(kR1, "c");
  EXPECT_EQ(only<Stop>(inspected("c")).model, "a");
}

TEST_F(Parking, AResidueLargerThanExpectedHoldsTheNewcomerUp) {
  start(1000);
  add("a", 500);
  add("b", 900);
  heat("a");
  lease(kR1, "b");
  ASSERT_EQ(all<Park>(inspected("b")).size(), 1U);
  // The residue of a leaves too little room, so a is stopped after all.
  EXPECT_EQ(only<Stop>(parked("a", 200)).model, "a");
  EXPECT_EQ(only<Spawn>(exited("a", ErrorCode::kCancelled)).model, "b");
  EXPECT_EQ(core_->cache_stats().evictions, 2U);
}

TEST_F(Parking, AnEngineThatCannotParkIsStopped) {
  can_park_ = false;
  start(1000, 1);
  add("a", 500);
  add("b", 500);
  heat("a");
  lease(kR1, "b");
  EXPECT_EQ(all<Stop>(inspected("b")).size(), 1U);
}

TEST_F(Parking, SwitchedOffNothingIsParked) {
  ContextOptions options;
  options.max_models = 1;
  options.parking.enabled = false;
  start(options);
  add("a", 500);
  add("b", 500);
  heat("a");
  EXPECT_EQ(only<Reject>(park(kR2, "a")).error.code, ErrorCode::kNotSupported);
  lease(kR1, "b");
  EXPECT_EQ(all<Stop>(inspected("b")).size(), 1U);
}

TEST_F(Parking, ABusyModelDrainsAndIsParked) {
  start(1000, 1);
  add("a", 500);
  add("b", 500);
  const RequestId held = heat_and_hold("a");
  now_ += minutes(1);
  lease(kR1, "b");
  EXPECT_TRUE(all<Park>(inspected("b")).empty());
  EXPECT_EQ(only<Park>(release(held)).model, "a");
}

// ---- waking ----

TEST_F(Parking, ARequestWakesIt) {
  start(1000);
  add("a", 500);
  heat_and_park("a", 30);
  EXPECT_EQ(only<Wake>(lease(kR1, "a")).model, "a");
  EXPECT_EQ(residency("a"), Residency::kWaking);
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(500)) << "reserved before it wakes";
  const Grant grant = only<Grant>(woken("a"));
  EXPECT_EQ(grant.request, kR1);
  EXPECT_EQ(grant.outcome, CacheOutcome::kParked);
  EXPECT_EQ(core_->cache_stats().hits, 1U);
  EXPECT_EQ(core_->cache_stats().misses, 1U);
  EXPECT_EQ(view("a").wakes, 1U);
  EXPECT_EQ(view("a").access_count, 2U) << "it never left";
}

TEST_F(Parking, ALoadWakesIt) {
  start(1000);
  add("a", 500);
  heat_and_park("a", 30);
  EXPECT_EQ(all<Wake>(load(kR1, "a")).size(), 1U);
  const Done done = only<Done>(woken("a"));
  EXPECT_TRUE(done.changed);
  EXPECT_EQ(done.footprint, Bytes::mib(500));
}

TEST_F(Parking, AWakeNeedsRoomAndASlot) {
  start(1000, 1);
  add("a", 500);
  add("b", 500);
  heat_and_park("a", 30);
  const RequestId held = heat_and_hold("b");
  now_ += minutes(1);
  EXPECT_TRUE(all<Wake>(lease(kR1, "a")).empty());
  EXPECT_EQ(only<Park>(release(held)).model, "b");
  EXPECT_EQ(only<Wake>(parked("b", 30)).model, "a");
}

TEST_F(Parking, WhoComesWhileItParksWakesIt) {
  start(1000);
  add("a", 500);
  heat("a");
  park(kR1, "a");
  EXPECT_TRUE(lease(kR2, "a").empty());
  const auto actions = parked("a", 30);
  EXPECT_EQ(all<Done>(actions).size(), 1U);
  EXPECT_EQ(all<Wake>(actions).size(), 1U);
  EXPECT_EQ(only<Grant>(woken("a")).outcome, CacheOutcome::kParked);
}

TEST_F(Parking, AWokenOneIsLastInAndFirstOutGoesAnother) {
  start(1000, 2, "fifo");
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  heat("a");
  heat("b");
  lease(kR1, "c");
  ASSERT_EQ(all<Park>(inspected("c"))[0].model, "a");
  parked("a", 10);
  ready("c");
  release(kR1);
  EXPECT_EQ(only<Park>(lease(kR2, "a")).model, "b");
  parked("b", 10);
  woken("a");
  release(kR2);
  EXPECT_EQ(only<Park>(lease(kR3, "b")).model, "c") << "a came back after it";
}

// ---- engines that fail ----

TEST_F(Parking, ARefusedParkLeavesItHot) {
  start(1000);
  add("a", 500);
  heat("a");
  park(kR1, "a");
  lease(kR2, "a");
  const auto actions = step(ParkRefused{engine_["a"], {ErrorCode::kIo, "the disk is full"}});
  ASSERT_EQ(all<Reject>(actions).size(), 1U);
  EXPECT_EQ(all<Reject>(actions)[0].error.code, ErrorCode::kConflict);
  EXPECT_EQ(all<Reject>(actions)[0].error.message, "\"a\" stays as it is, since it cannot be parked: the disk is full");
  EXPECT_EQ(all<Grant>(actions).size(), 1U);
  EXPECT_EQ(residency("a"), Residency::kHot);
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
}

TEST_F(Parking, AVictimWhoseParkIsRefusedIsStopped) {
  start(1000, 1);
  add("a", 500);
  add("b", 500);
  heat("a");
  lease(kR1, "b");
  inspected("b");
  EXPECT_EQ(only<Stop>(step(ParkRefused{engine_["a"], {ErrorCode::kIo, "the disk is full"}})).model, "a");
  EXPECT_EQ(core_->cache_stats().evictions, 1U) << "once, not for the attempt too";
}

TEST_F(Parking, AVictimThatStillWorksIsAskedAgain) {
  start(1000, 1);
  add("a", 500);
  add("b", 500);
  heat("a");
  lease(kR1, "b");
  inspected("b");
  const ParkRefused working{engine_["a"], {ErrorCode::kConflict, "it is working"}};
  for (int i = 0; i < 19; ++i) EXPECT_EQ(only<Park>(step(working)).model, "a");
  EXPECT_EQ(only<Stop>(step(working)).model, "a") << "but not for ever";
}

TEST_F(Parking, AnOperatorsParkOfOneThatStillWorksIsTriedAgain) {
  start(1000);
  add("a", 500);
  heat("a");
  park(kR1, "a");
  const ParkRefused working{engine_["a"], {ErrorCode::kConflict, "it is working"}};
  for (int i = 0; i < 30; ++i) EXPECT_EQ(only<Park>(step(working)).model, "a") << "as long as the operator waits";
  now_ += kPatience;
  EXPECT_EQ(only<Reject>(step(working)).error.message,
            "\"a\" stays as it is, since it cannot be parked: it is working");
  EXPECT_EQ(residency("a"), Residency::kHot);
}

TEST_F(Parking, AnEngineThatDiesParkedIsLoadedAnew) {
  start(1000);
  add("a", 500);
  heat_and_park("a", 30);
  EXPECT_TRUE(exited("a").empty());
  EXPECT_EQ(residency("a"), Residency::kCold);
  EXPECT_EQ(core_->reserved_memory(), Bytes());
  EXPECT_EQ(all<Inspect>(lease(kR1, "a")).size(), 1U);
}

TEST_F(Parking, AnEngineThatDiesWakingIsLoadedAnewForWhoWaits) {
  start(1000);
  add("a", 500);
  heat_and_park("a", 30);
  lease(kR1, "a");
  EXPECT_EQ(all<Inspect>(exited("a")).size(), 1U);
  inspected("a");
  EXPECT_EQ(only<Grant>(ready("a")).request, kR1);
}

TEST_F(Parking, AnAgentThatDoesNotAnswerIsKilled) {
  start(1000);
  add("a", 500);
  heat("a");
  park(kR1, "a");
  EXPECT_EQ(only<Kill>(step(EngineStalled{engine_["a"]})).model, "a");
  EXPECT_EQ(only<Reject>(exited("a")).request, kR1);
  heat_and_park("a", 30);
  lease(kR2, "a");
  EXPECT_EQ(only<Kill>(step(EngineStalled{engine_["a"]})).model, "a");
}

// ---- operators ----

TEST_F(Parking, AnOperatorsParkWaitsForRequests) {
  start(1000);
  add("a", 500);
  const RequestId held = heat_and_hold("a");
  EXPECT_TRUE(park(kR1, "a").empty());
  EXPECT_TRUE(lease(kR2, "a").empty()) << "who comes later waits until it is woken";
  EXPECT_EQ(only<Park>(release(held)).victim_of, "");
  const auto actions = parked("a", 30);
  const Done done = all<Done>(actions).at(0);
  EXPECT_EQ(done.request, kR1);
  EXPECT_TRUE(done.changed);
  EXPECT_EQ(done.footprint, Bytes::mib(30));
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
}

TEST_F(Parking, AnOperatorsParkEndsAtItsDeadline) {
  start(1000);
  add("a", 500);
  const RequestId held = heat_and_hold("a");
  park(kR1, "a");
  EXPECT_EQ(only<Reject>(wait(kPatience)).error.code, ErrorCode::kConflict);
  EXPECT_TRUE(release(held).empty());
  EXPECT_EQ(residency("a"), Residency::kHot);
}

TEST_F(Parking, WhatIsNotResidentOrParkedAlreadyStaysSo) {
  start(1000);
  add("a", 500);
  EXPECT_FALSE(only<Done>(park(kR1, "a")).changed);
  heat_and_park("a", 30);
  EXPECT_FALSE(only<Done>(park(kR2, "a")).changed);
  lease(next_id(), "a");
  add("b", 100);
  lease(kR3, "b");
  EXPECT_EQ(only<Reject>(park(kR4, "b")).error.code, ErrorCode::kConflict) << "it is loading";
}

TEST_F(Parking, APinnedOneIsParkedByForceOnly) {
  start(1000);
  add("a", 500, /*pinned=*/true);
  const RequestId held = heat_and_hold("a");
  EXPECT_EQ(only<Reject>(park(kR1, "a")).error.code, ErrorCode::kConflict);
  EXPECT_EQ(only<Abort>(park(kR2, "a", /*force=*/true)).request, held);
  EXPECT_EQ(only<Park>(release(held, LeaseEnd::kFailed)).model, "a");
}

TEST_F(Parking, UnloadStopsAParkedOne) {
  start(1000);
  add("a", 500);
  heat_and_park("a", 30);
  EXPECT_EQ(only<Stop>(unload(kR1, "a")).model, "a");
  EXPECT_EQ(only<Done>(exited("a", ErrorCode::kCancelled)).request, kR1);
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
}

TEST_F(Parking, UnloadStopsOneThatParksOrWakes) {
  start(1000);
  add("a", 500);
  heat("a");
  park(kR1, "a");
  EXPECT_EQ(only<Stop>(unload(kR2, "a")).model, "a");
  EXPECT_TRUE(parked("a", 30).empty()) << "too late";
  const auto actions = exited("a", ErrorCode::kCancelled);
  EXPECT_EQ(all<Reject>(actions).at(0).request, kR1);
  EXPECT_EQ(all<Done>(actions).at(0).request, kR2);
}

TEST_F(Parking, AParkedOneLeavesWithTheCatalogTheServerAndItsSettings) {
  start(1000);
  for (const char* id : {"a", "b", "c"}) {
    add(id, 100);
    heat_and_park(id, 10);
  }
  EXPECT_EQ(only<Stop>(step(ModelRemoved{"a"})).model, "a");
  EXPECT_EQ(only<Stop>(step(ModelAdded{"b", false, PreloadStrategy::kLazy, /*outdated=*/true})).model, "b");
  EXPECT_EQ(all<Stop>(step(DrainRequested{now_})).at(0).model, "c");
}

TEST_F(Parking, AForcedLoadStopsAParkedPinnedOneIfItMust) {
  start(1000);
  add("a", 500);
  add("b", 980);
  heat_and_park("a", 30);
  step(PinRequested{kR1, "a", true});
  EXPECT_TRUE(all<Inspect>(load(kR2, "b")).size() == 1);
  EXPECT_EQ(only<Reject>(inspected("b")).error.code, ErrorCode::kConflict);
  load(kR3, "b", false, /*force=*/true);
  EXPECT_EQ(only<Stop>(inspected("b")).model, "a");
}

// ---- limits ----

TEST_F(Parking, AForcedLoadTakesThePinOfOneThatWaitsForRoomForItsImage) {
  ContextOptions options;
  options.memory_budget = Bytes::mib(1000);
  options.max_models = 1;
  options.parking.images = Bytes::mib(100);
  start(options);
  add("a", 300);
  add("b", 300, /*pinned=*/true);
  add("c", 300);
  heat_and_park("a", 30, 60);
  heat("b");
  park(next_id(), "b", /*force=*/true);
  step(ParkRefused{engine_["b"], {ErrorCode::kIo, "too large"}, /*image_wanted=*/Bytes::mib(60)});
  step(PinRequested{next_id(), "b", true});
  load(kR1, "c", /*preload=*/false, /*force=*/true);
  EXPECT_EQ(only<Stop>(inspected("c")).model, "a") << "its image is in the way of that of b";
  EXPECT_FALSE(view("b").pinned);
  EXPECT_EQ(residency("b"), Residency::kHot) << "until there is room";
  EXPECT_EQ(only<Park>(exited("a", ErrorCode::kCancelled)).model, "b");
}

TEST_F(Parking, ParkedOnesKeepWithinTheirMemory) {
  ContextOptions options;
  options.parking.memory = Bytes::mib(50);
  start(options);
  add("a", 500);
  add("b", 500);
  heat_and_park("a", 30);
  heat("b");
  park(kR1, "b");
  EXPECT_EQ(all<Stop>(parked("b", 30)).at(0).model, "a");
}

TEST_F(Parking, ImagesKeepWithinTheirDisk) {
  ContextOptions options;
  options.parking.images = Bytes::mib(100);
  start(options);
  add("a", 500);
  add("b", 500);
  heat_and_park("a", 30, 60);
  heat("b");
  EXPECT_EQ(all<Park>(park(kR1, "b")).at(0).max_image, Bytes::mib(40));
  // The image's size is known now, so the model that leaves before it makes room.
  const auto refused =
      step(ParkRefused{engine_["b"], {ErrorCode::kConflict, "its image would take 70 MiB"}, Bytes::mib(70)});
  EXPECT_EQ(all<Reject>(refused).size(), 1U);
  EXPECT_EQ(only<Stop>(park(kR2, "b")).model, "a");
  EXPECT_EQ(only<Park>(exited("a", ErrorCode::kCancelled)).max_image, Bytes::mib(100));
}

TEST_F(Parking, AnImageThatNeverFitsMeansStopping) {
  ContextOptions options;
  options.max_models = 1;
  options.parking.images = Bytes::mib(100);
  start(options);
  add("a", 500);
  add("b", 500);
  heat("a");
  lease(kR1, "b");
  inspected("b");
  const ParkRefused too_large{engine_["a"], {ErrorCode::kConflict, "its image would take 200 MiB"}, Bytes::mib(200)};
  EXPECT_EQ(only<Stop>(step(too_large)).model, "a");
}

TEST_F(Parking, ASmallerBudgetParksFirstAndStopsThen) {
  start(1000);
  add("a", 400);
  add("b", 400);
  heat("a");
  heat("b");
  EXPECT_EQ(only<Park>(shrink(500)).model, "a");
  parked("a", 30);
  EXPECT_EQ(only<Park>(shrink(100)).model, "b");
  parked("b", 30);
  EXPECT_EQ(only<Stop>(shrink(50)).model, "a");
}

// ---- idle times ----

TEST_F(Parking, WhatIsStoppedForAnImageMayBeEnough) {
  start_with_images_in_the_way();
  EXPECT_EQ(only<Stop>(shrink(600)).model, "a") << "so that the image of b has room";
  EXPECT_EQ(residency("b"), Residency::kHot) << "it fits without";
  exited("a", ErrorCode::kCancelled);
  EXPECT_EQ(residency("b"), Residency::kHot);
}

TEST_F(Parking, UnderPressureWhatIsStoppedForAnImageMayBeEnough) {
  start_with_images_in_the_way();
  EXPECT_EQ(only<DropPages>(step(PressureChanged{true, Bytes::mib(200)})).model, "a");
  EXPECT_EQ(only<Stop>(step(PressureChanged{true, Bytes::mib(200)})).model, "a");
  EXPECT_EQ(residency("b"), Residency::kHot);
}

TEST_F(Parking, IdleForTtlItIsParkedAndForUnloadTtlStopped) {
  start(1000);
  footprint_["a"] = Bytes::mib(100);
  step(ModelAdded{.model = "a", .ttl = minutes(5), .unload_ttl = minutes(60)});
  const RequestId held = heat_and_hold("a");
  EXPECT_TRUE(wait(minutes(10)).empty()) << "it works";
  EXPECT_TRUE(release(held).empty());
  EXPECT_EQ(core_->next_timer(), now_ + minutes(5));
  EXPECT_TRUE(wait(minutes(5) - seconds(1)).empty());
  EXPECT_EQ(only<Park>(wait(seconds(1))).model, "a");
  parked("a", 10);
  EXPECT_EQ(core_->next_timer(), now_ + minutes(55));
  EXPECT_EQ(only<Stop>(wait(minutes(55))).model, "a");
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
}

TEST_F(Parking, TtlSparesThePinnedAndStopsWhoCannotPark) {
  can_park_ = false;
  start(1000);
  footprint_["a"] = footprint_["b"] = Bytes::mib(100);
  step(ModelAdded{.model = "a", .pinned = true, .ttl = minutes(5)});
  step(ModelAdded{.model = "b", .ttl = minutes(5)});
  heat("a");
  heat("b");
  EXPECT_EQ(only<Stop>(wait(minutes(5))).model, "b");
}

TEST_F(Parking, ATtlParkThatIsRefusedIsTriedAgainLater) {
  start(1000);
  footprint_["a"] = Bytes::mib(100);
  step(ModelAdded{.model = "a", .ttl = minutes(5)});
  heat("a");
  only<Park>(wait(minutes(5)));
  EXPECT_TRUE(step(ParkRefused{engine_["a"], {ErrorCode::kIo, "the disk is full"}}).empty());
  EXPECT_EQ(core_->next_timer(), now_ + seconds(30));
  EXPECT_EQ(only<Park>(wait(seconds(30))).model, "a");
}

// ---- footprints and pressure ----

TEST_F(Parking, AMeasuredFootprintTakesThePlaceOfThePredictedOne) {
  start(1000);
  add("a", 500);
  add("b", 600);
  heat("a");
  step(FootprintMeasured{engine_["a"], Bytes::mib(390)});
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(390));
  lease(kR1, "b");
  EXPECT_EQ(all<Spawn>(inspected("b")).size(), 1U) << "now there is room for both";
  ready("b");
  release(kR1);
  // An engine turns out to hold more than there is: the other one leaves.
  EXPECT_EQ(only<Park>(step(FootprintMeasured{engine_["b"], Bytes::mib(700)})).model, "a");
}

TEST_F(Parking, WhatIsMeasuredWhileItParksIsForTheWake) {
  start(1000);
  add("a", 500);
  heat("a");
  only<Park>(park(kR1, "a"));
  EXPECT_TRUE(step(FootprintMeasured{engine_["a"], Bytes::mib(390)}).empty());
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(500)) << "nothing is free before it is parked";
  parked("a", 30);
  EXPECT_EQ(only<Wake>(lease(kR2, "a")).model, "a");
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(390));
}

TEST_F(Parking, AResidueThatIsKnownFromBeforeDecidesTheFirstPark) {
  // The residue is a guess, 32 MiB and a twentieth, with which parking a would not free enough for b.
  for (const bool known : {false, true}) {
    start(100);
    add("a", 60);
    add("b", 70);
    const RequestId first = next_id();
    lease(first, "a");
    step(Inspected{"a", ticket_["a"], Bytes::mib(60), known ? std::optional(Bytes::mib(10)) : std::nullopt});
    ready("a");
    release(first);
    lease(next_id(), "b");
    const std::vector<Action> actions = inspected("b");
    EXPECT_EQ(all<Park>(actions).size(), known ? 1U : 0U);
    EXPECT_EQ(all<Stop>(actions).size(), known ? 0U : 1U);
  }
}

TEST_F(Parking, UnderPressureTheCheapestIsGivenBackFirst) {
  start(10000);
  for (const char* id : {"a", "b", "c"}) add(id, 1000);
  heat_and_park("a", 30);
  heat("b");
  const RequestId held = heat_and_hold("c");
  const PressureChanged pressure{true, Bytes::mib(900)};
  EXPECT_EQ(only<DropPages>(step(pressure)).model, "a");
  EXPECT_TRUE(core_->has_memory_pressure());
  EXPECT_EQ(only<Park>(step(pressure)).model, "b");
  EXPECT_TRUE(step(pressure).empty()) << "that is on its way";
  parked("b", 30);
  only<DropPages>(step(pressure));
  const auto stops = all<Stop>(step(pressure));
  ASSERT_EQ(stops.size(), 2U) << "c works, so nothing else is left";
  EXPECT_EQ(stops[0].model, "a");
  release(held);
}

TEST_F(Parking, UnderPressureNothingIsLoaded) {
  start(10000);
  add("a", 100);
  add("b", 100);
  add("c", 100);
  heat("a");
  lease(kR4, "c");  // waits already
  step(PressureChanged{true, Bytes()});
  EXPECT_TRUE(inspected("c").empty());
  const Reject shed = only<Reject>(lease(kR1, "b"));
  EXPECT_EQ(shed.error.code, ErrorCode::kNoCapacity);
  EXPECT_GE(shed.error.retry_after_s, 1);
  EXPECT_EQ(only<Reject>(load(kR2, "b")).error.code, ErrorCode::kNoCapacity);
  EXPECT_EQ(all<Grant>(lease(kR3, "a")).size(), 1U) << "what is there serves";
  EXPECT_EQ(only<Spawn>(step(PressureChanged{false, Bytes()})).model, "c");
  EXPECT_FALSE(core_->has_memory_pressure());
}

// ---- plans ----

TEST_F(Parking, APlanForAParkedOneIsAWake) {
  start(1000, 1);
  add("a", 500);
  add("b", 400);
  heat_and_park("a", 30);
  heat("b");
  const LoadPlan plan = core_->plan_load("a", Bytes::mib(500), now_).value();
  EXPECT_TRUE(plan.possible);
  EXPECT_EQ(plan.evict, std::vector<ModelId>{"b"});
  EXPECT_EQ(plan.reason, "it is parked and wakes once 1 model idle left");
}

}  // namespace
}  // namespace minerva
