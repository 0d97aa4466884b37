// Load, preload, unload, pin, removal, failures, draining.
#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Load = CoreTest;
using Unload = CoreTest;
using Failing = CoreTest;
using Catalog = CoreTest;
using Drain = CoreTest;
using Look = CoreTest;

// ---- load ----

TEST_F(Load, IsDoneWhenItCanServeAndIsNoLookup) {
  start(1000, 1);
  add("a", 100);
  add("b", 200);
  heat("a");
  load(kR1, "b");
  EXPECT_EQ(only<Stop>(inspected("b")).model, "a");
  exited("a");
  now_ += seconds(3);
  const Done done = only<Done>(ready("b"));
  EXPECT_TRUE(done.changed);
  EXPECT_EQ(done.took, seconds(3));
  EXPECT_EQ(done.evicted, std::vector<ModelId>{"a"});
  EXPECT_EQ(done.footprint, Bytes::mib(200));
  EXPECT_EQ(core_->cache_stats().misses, 1U);  // the one of a
  EXPECT_EQ(view("b").access_count, 0U);
  EXPECT_TRUE(view("b").since_last_use.has_value());
}

TEST_F(Load, OfAHotModelOnlyRefreshesIt) {
  start(1000, 2);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  heat("a");
  heat("b");
  EXPECT_FALSE(only<Done>(load(kR1, "a", /*preload=*/true)).changed);
  EXPECT_EQ(core_->plan_load("c", Bytes(1), now_).value().evict, std::vector<ModelId>{"a"});
  EXPECT_FALSE(only<Done>(load(kR2, "a")).changed);
  EXPECT_EQ(core_->plan_load("c", Bytes(1), now_).value().evict, std::vector<ModelId>{"b"});
  EXPECT_EQ(core_->cache_stats().preloads, 0U);
}

TEST_F(Load, JoinsOneUnderWayAndALeaseMakesAPreloadAnOrdinaryLoad) {
  start(1000);
  add("a", 100);
  load(kR1, "a", /*preload=*/true);
  EXPECT_TRUE(load(kR2, "a", /*preload=*/true).empty());
  EXPECT_TRUE(lease(kR3, "a").empty());
  inspected("a");
  const auto actions = ready("a");
  EXPECT_EQ(all<Done>(actions).size(), 2U);
  EXPECT_EQ(all<Grant>(actions).size(), 1U);
  EXPECT_FALSE(view("a").preloaded);
  EXPECT_EQ(core_->cache_stats().preloads, 0U);
}

TEST_F(Load, DoesNotTakeABusyModel) {
  start(1000, 1);
  add("a", 100);
  add("b", 100);
  heat_and_hold("a");
  now_ += seconds(10);
  load(kR1, "b");
  const Reject reject = only<Reject>(inspected("b"));
  EXPECT_EQ(reject.error.code, ErrorCode::kConflict);
  EXPECT_NE(reject.error.message.find("\"a\" is serving 1 request"), std::string::npos);
  EXPECT_NE(reject.error.message.find("force=true"), std::string::npos);
  EXPECT_EQ(residency("b"), Residency::kCold);
  EXPECT_EQ(all<Grant>(lease(kR2, "a")).size(), 1U);
}

TEST_F(Load, IsRejectedAloneWhenLeasesWaitAnyway) {
  start(1000, 1);
  add("a", 100);
  add("b", 100);
  const RequestId held = heat_and_hold("a");
  lease(kR1, "b");
  load(kR2, "b");
  EXPECT_EQ(only<Reject>(inspected("b")).request, kR2);
  now_ += seconds(2);
  EXPECT_EQ(only<Stop>(release(held)).victim_of, "b");
}

TEST_F(Load, ByForceTakesBusyAndPinnedModels) {
  start(1000, 1);
  add("a", 100, /*pinned=*/true);
  add("b", 100);
  const RequestId held = heat_and_hold("a");
  load(kR1, "b", /*preload=*/false, /*force=*/true);
  const Abort abort = only<Abort>(inspected("b"));
  EXPECT_EQ(abort.request, held);
  EXPECT_NE(abort.error.message.find("\"b\""), std::string::npos);
  EXPECT_FALSE(view("a").pinned);
  EXPECT_TRUE(lease(kR2, "a").empty());  // it waits for its turn
  EXPECT_EQ(only<Stop>(release(held, LeaseEnd::kFailed)).model, "a");
  EXPECT_EQ(all<Spawn>(exited("a")).at(0).model, "b");
  EXPECT_EQ(all<Done>(ready("b")).at(0).evicted, std::vector<ModelId>{"a"});
}

TEST_F(Load, ByForceStillWaitsForALoadingModel) {
  start(1000, 1);
  add("a", 100);
  add("b", 100);
  lease(kR1, "a");
  inspected("a");
  load(kR2, "b", false, /*force=*/true);
  EXPECT_TRUE(inspected("b").empty());
  const auto actions = ready("a");
  EXPECT_EQ(all<Grant>(actions).size(), 1U);
  EXPECT_EQ(all<Abort>(actions).size(), 1U);
  EXPECT_EQ(only<Stop>(release(kR1, LeaseEnd::kFailed)).model, "a");
}

// ---- unload ----

TEST_F(Unload, OfWhatIsNotThere) {
  start(1000);
  add("a", 100);
  EXPECT_EQ(only<Reject>(unload(kR1, "x")).error.code, ErrorCode::kModelNotFound);
  EXPECT_FALSE(only<Done>(unload(kR2, "a")).changed);
}

TEST_F(Unload, SaysWhoAskedForIt) {
  start(1000);
  for (const auto& [asker, reason] : {std::pair{Asker::kOperator, "unloaded by an operator"},
                                      {Asker::kSchedule, "unloaded by its schedule"},
                                      {Asker::kKeepAlive, "unloaded by keep_alive"}}) {
    add("a", 100);
    heat("a");
    EXPECT_EQ(only<Stop>(step(UnloadRequested{next_id(), "a", false, now_, asker})).reason, reason);
    EXPECT_EQ(core_->decisions().back().reason, reason);
    exited("a", ErrorCode::kCancelled);
  }
}

TEST_F(Unload, OfAnIdleModelIsDoneAfterTheReapAndIsNoEviction) {
  start(1000);
  add("a", 100);
  heat("a");
  EXPECT_EQ(only<Stop>(unload(kR1, "a")).victim_of, "");
  EXPECT_TRUE(unload(kR2, "a").empty());  // it joins the first unload
  EXPECT_TRUE(wait(seconds(100)).empty());
  const auto done = all<Done>(exited("a", ErrorCode::kCancelled));
  ASSERT_EQ(done.size(), 2U);
  EXPECT_TRUE(done[0].changed);
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
  EXPECT_EQ(residency("a"), Residency::kCold);
}

TEST_F(Unload, WaitsForLeasesAndHoldsBackNewOnes) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  EXPECT_TRUE(unload(kR1, "a").empty());
  EXPECT_TRUE(lease(kR2, "a").empty());
  EXPECT_EQ(all<Stop>(release(held)).size(), 1U);
  const auto actions = exited("a");
  EXPECT_EQ(all<Done>(actions).size(), 1U);
  EXPECT_EQ(all<Inspect>(actions).size(), 1U);  // for the request that waits
  inspected("a");
  EXPECT_EQ(only<Grant>(ready("a")).request, kR2);
}

TEST_F(Unload, GivesUpAtItsDeadlineAndGrantingResumes) {
  start(1000);
  add("a", 100);
  heat_and_hold("a");
  step(UnloadRequested{kR1, "a", false, now_ + seconds(5)});
  lease(kR2, "a");
  const auto actions = wait(seconds(5));
  const Reject reject = all<Reject>(actions).at(0);
  EXPECT_EQ(reject.error.code, ErrorCode::kConflict);
  EXPECT_NE(reject.error.message.find("1 request"), std::string::npos);
  EXPECT_EQ(all<Grant>(actions).at(0).request, kR2);
}

TEST_F(Unload, ALoadAfterAnUnloadWaitsForTheReload) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  unload(kR1, "a");
  EXPECT_TRUE(load(kR2, "a").empty());
  release(held);
  exited("a");
  inspected("a");
  EXPECT_TRUE(only<Done>(ready("a")).changed);
}

TEST_F(Unload, APinnedModelNeedsForce) {
  start(1000);
  add("a", 100, /*pinned=*/true);
  const RequestId held = heat_and_hold("a");
  EXPECT_EQ(only<Reject>(unload(kR1, "a")).error.code, ErrorCode::kConflict);
  EXPECT_EQ(only<Abort>(unload(kR2, "a", /*force=*/true)).request, held);
  EXPECT_FALSE(view("a").pinned);
  EXPECT_EQ(all<Stop>(release(held, LeaseEnd::kFailed)).size(), 1U);
  EXPECT_EQ(only<Done>(exited("a")).request, kR2);
}

TEST_F(Unload, ByForceAnswersEverybodyWhoWaits) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  load(kR2, "a");
  inspected("a");
  const auto actions = unload(kR3, "a", /*force=*/true);
  ASSERT_EQ(all<Reject>(actions).size(), 2U);
  for (const Reject& reject : all<Reject>(actions)) {
    const ErrorCode code = reject.request == kR1 ? ErrorCode::kNoCapacity : ErrorCode::kConflict;
    EXPECT_EQ(reject.error.code, code) << reject.error.message;
  }
  EXPECT_EQ(all<Stop>(actions).size(), 1U);
  EXPECT_EQ(only<Done>(exited("a")).request, kR3);
}

TEST_F(Unload, CancelsALoadThatOnlyOperatorsWaitFor) {
  start(1000);
  add("a", 100);
  load(kR1, "a");
  const auto while_inspecting = unload(kR2, "a");
  EXPECT_EQ(all<Reject>(while_inspecting).at(0).error.code, ErrorCode::kConflict);
  EXPECT_EQ(all<Done>(while_inspecting).size(), 1U);
  EXPECT_EQ(residency("a"), Residency::kCold);
  load(kR3, "a", /*preload=*/true);
  inspected("a");
  const auto while_loading = unload(kR4, "a");
  EXPECT_EQ(all<Reject>(while_loading).at(0).request, kR3);
  EXPECT_EQ(all<Stop>(while_loading).size(), 1U);
  EXPECT_EQ(only<Done>(exited("a")).request, kR4);
}

TEST_F(Unload, LetsALoadFinishThatARequestWaitsFor) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  inspected("a");
  EXPECT_TRUE(unload(kR2, "a").empty());
  EXPECT_EQ(only<Grant>(ready("a")).request, kR1);
  EXPECT_EQ(all<Stop>(release(kR1)).size(), 1U);
  EXPECT_EQ(only<Done>(exited("a")).request, kR2);
}

TEST_F(Unload, WithNoTimeToWaitStillUnloadsAnIdleModel) {
  start(1000);
  add("a", 100);
  heat("a");
  EXPECT_EQ(all<Stop>(step(UnloadRequested{kR1, "a", false, now_})).size(), 1U);
  EXPECT_EQ(only<Done>(exited("a")).request, kR1);
}

// ---- failures ----

TEST_F(Failing, OfALoadAnswersItsWaitersAndQuarantinesWithBackoff) {
  start(1000);
  add("a", 100);
  const Duration expected[] = {seconds(1), seconds(2), seconds(4)};
  for (const Duration backoff : expected) {
    const RequestId id = next_id();
    lease(id, "a");
    inspected("a");
    const Reject reject = only<Reject>(exited("a", ErrorCode::kInvalidModel));
    EXPECT_EQ(reject.error.code, ErrorCode::kInvalidModel);
    EXPECT_EQ(residency("a"), Residency::kQuarantined);
    EXPECT_EQ(core_->reserved_memory(), Bytes(0));
    const Reject refused = only<Reject>(lease(next_id(), "a"));
    EXPECT_EQ(refused.error.code, ErrorCode::kQuarantined);
    EXPECT_EQ(refused.error.retry_after_s, std::chrono::duration_cast<seconds>(backoff).count());
    EXPECT_NE(refused.error.message.find("it died"), std::string::npos);
    now_ += backoff;
    EXPECT_EQ(residency("a"), Residency::kCold);
  }
  // A served request forgives the failures.
  heat("a");
  EXPECT_FALSE(view("a").last_failure.has_value());
  unload(kR1, "a");
  exited("a");
  lease(kR2, "a");
  inspected("a");
  exited("a", ErrorCode::kInvalidModel);
  EXPECT_EQ(only<Reject>(lease(kR3, "a")).error.retry_after_s, 1);
}

TEST_F(Failing, AnExplicitLoadIsTriedInQuarantine) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  inspected("a");
  exited("a", ErrorCode::kInvalidModel);
  EXPECT_EQ(all<Inspect>(load(kR2, "a")).size(), 1U);
  EXPECT_TRUE(lease(kR3, "a").empty());
}

TEST_F(Failing, ACrashWhileHotReloadsForWhoWaitsAndTheSecondInARowQuarantines) {
  start(1000, 1);
  add("a", 100);
  add("b", 100);
  const RequestId held = heat_and_hold("a");
  now_ += seconds(2);
  lease(kR1, "b");
  inspected("b");
  lease(kR2, "a");  // it queues behind the drain
  auto actions = exited("a");
  EXPECT_TRUE(all<Reject>(actions).empty());
  EXPECT_EQ(all<Spawn>(actions).at(0).model, "b");
  EXPECT_EQ(residency("a"), Residency::kPreparing);
  step(RequestCancelled{kR1});
  ready("b");
  inspected("a");
  exited("b");
  ready("a");
  // The lease of the dead engine ends late: it does not belong to the new engine.
  EXPECT_EQ(view("a").leases, 1U);
  EXPECT_TRUE(release(held).empty());
  EXPECT_EQ(view("a").leases, 1U);
  exited("a");
  EXPECT_EQ(residency("a"), Residency::kQuarantined);
}

TEST_F(Failing, ALoadThatTakesTooLong) {
  ContextOptions options;
  options.load_timeout = seconds(60);
  start(options);
  add("a", 100);
  lease(kR1, "a", seconds(600));
  inspected("a");
  EXPECT_EQ(core_->next_timer(), now_ + seconds(60));
  const auto actions = wait(seconds(60));
  EXPECT_EQ(all<Reject>(actions).at(0).error.code, ErrorCode::kEngineTimeout);
  EXPECT_EQ(all<Stop>(actions).size(), 1U);
  EXPECT_TRUE(ready("a").empty());  // it comes too late
  EXPECT_NE(core_->reserved_memory(), Bytes(0));
  EXPECT_EQ(only<Reject>(lease(kR2, "a")).error.code, ErrorCode::kQuarantined);
  exited("a");
  EXPECT_EQ(core_->reserved_memory(), Bytes(0));
}

// ---- the catalog ----

TEST_F(Catalog, AnEagerModelIsPreloadedIfThereIsRoom) {
  start(1000, 1);
  footprint_["a"] = footprint_["b"] = Bytes::mib(100);
  EXPECT_EQ(all<Inspect>(step(ModelAdded{"a", false, PreloadStrategy::kEager})).size(), 1U);
  inspected("a");
  EXPECT_TRUE(ready("a").empty());
  EXPECT_TRUE(view("a").preloaded);
  EXPECT_EQ(core_->cache_stats().preloads, 1U);
  // There is no room, and an eager model evicts none.
  step(ModelAdded{"b", false, PreloadStrategy::kEager});
  EXPECT_TRUE(inspected("b").empty());
  EXPECT_EQ(residency("b"), Residency::kCold);
  // Reading the catalog again does not bring back a model that was unloaded.
  unload(kR1, "a");
  exited("a");
  EXPECT_TRUE(step(ModelAdded{"a", false, PreloadStrategy::kEager}).empty());
  // A model that became eager is loaded, also if it becomes eager again.
  step(ModelAdded{"a", false, PreloadStrategy::kLazy});
  EXPECT_EQ(only<Inspect>(step(ModelAdded{"a", false, PreloadStrategy::kEager})).model, "a");
}

TEST_F(Catalog, APreloadIsNoUse) {
  start(100);
  add("scheduled", 40);
  footprint_["eager"] = Bytes::mib(40);
  step(ModelAdded{"eager", false, PreloadStrategy::kEager});
  inspected("eager");
  ready("eager");
  load(kR1, "scheduled", /*preload=*/true);
  inspected("scheduled");
  ready("scheduled");
  for (const char* const model : {"eager", "scheduled"}) {
    EXPECT_TRUE(view(model).preloaded) << model;
    EXPECT_FALSE(view(model).since_last_use) << model;
    EXPECT_EQ(view(model).access_count, 0U) << model;
  }
  EXPECT_EQ(core_->cache_stats().preloads, 2U);
  EXPECT_EQ(core_->cache_stats().misses, 0U);
}

TEST_F(Catalog, APreloadTakesNoModelInUse) {
  start(100);
  add("a", 60);
  add("b", 60);
  const RequestId busy = heat_and_hold("a");
  load(kR1, "b", /*preload=*/true);
  EXPECT_EQ(all<Reject>(inspected("b")).size(), 1U);
  EXPECT_EQ(residency("a"), Residency::kHot);
  EXPECT_EQ(view("a").leases, 1U);
  EXPECT_TRUE(nothing(release(busy)));
}

TEST_F(Catalog, ARemovedModelFailsItsWaitersAndLeavesWhenItIsFree) {
  start(1000);
  add("a", 100);
  add("b", 100);
  const RequestId held = heat_and_hold("a");
  EXPECT_TRUE(step(ModelRemoved{"a"}).empty());
  EXPECT_EQ(only<Reject>(lease(kR1, "a")).error.code, ErrorCode::kModelNotFound);
  EXPECT_EQ(only<Stop>(release(held)).model, "a");
  exited("a");
  EXPECT_EQ(core_->model("a", now_), std::nullopt);
  lease(kR2, "b");
  inspected("b");
  const auto actions = step(ModelRemoved{"b"});
  EXPECT_EQ(all<Reject>(actions).at(0).error.code, ErrorCode::kModelNotFound);
  EXPECT_EQ(all<Stop>(actions).size(), 1U);
}

TEST_F(Catalog, AddingARemovedModelAgainRevivesIt) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  step(ModelRemoved{"a"});
  add("a", 100);
  EXPECT_EQ(all<Grant>(lease(kR1, "a")).size(), 1U);
  release(held);
  release(kR1);
  EXPECT_EQ(residency("a"), Residency::kHot);
}

// ---- changed settings ----

ModelAdded changed(const ModelId& model) { return {model, false, PreloadStrategy::kLazy, /*outdated=*/true}; }

TEST_F(Catalog, ChangedSettingsReplaceTheEngineOnceItsLeasesHaveEnded) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  const EngineId old = engine_.at("a");
  EXPECT_TRUE(step(changed("a")).empty());
  EXPECT_TRUE(lease(kR1, "a").empty());  // it waits for the new engine
  EXPECT_EQ(only<Stop>(release(held)).engine, old);
  footprint_["a"] = Bytes::mib(300);
  EXPECT_EQ(only<Inspect>(exited("a")).model, "a");
  EXPECT_EQ(only<Spawn>(inspected("a")).footprint, Bytes::mib(300));
  EXPECT_NE(engine_.at("a"), old);
  EXPECT_EQ(all<Grant>(ready("a")).size(), 1U);
}

TEST_F(Catalog, ChangedSettingsReplaceABusyEngineAlsoWhenNobodyWaitsForIt) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  const EngineId old = engine_.at("a");
  EXPECT_TRUE(step(changed("a")).empty());
  EXPECT_EQ(only<Stop>(release(held)).engine, old);
  EXPECT_EQ(only<Inspect>(exited("a")).model, "a");
  inspected("a");
  EXPECT_TRUE(ready("a").empty());
  EXPECT_EQ(residency("a"), Residency::kHot);
}

TEST_F(Catalog, AnIdleModelWithChangedSettingsComesBackByItself) {
  start(1000);
  add("a", 100);
  add("b", 100);
  heat("a");
  EXPECT_EQ(only<Stop>(step(changed("a"))).model, "a");
  EXPECT_EQ(all<Inspect>(exited("a")).size(), 1U);
  inspected("a");
  ready("a");
  EXPECT_EQ(residency("a"), Residency::kHot);
  // A model that is not in memory stays out of it.
  EXPECT_TRUE(step(changed("b")).empty());
  EXPECT_EQ(residency("b"), Residency::kCold);
}

TEST_F(Catalog, WhatWentWrongWithTheOldFileIsNotHeldAgainstTheNewOne) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  inspected("a");
  exited("a", ErrorCode::kInvalidModel);
  EXPECT_EQ(residency("a"), Residency::kQuarantined);
  EXPECT_EQ(only<Reject>(lease(kR2, "a")).error.code, ErrorCode::kQuarantined);
  step(changed("a"));
  EXPECT_FALSE(view("a").last_failure);
  EXPECT_EQ(only<Inspect>(lease(kR3, "a")).model, "a");
}

TEST_F(Catalog, EachStepTellsWhoseStateItChanged) {
  start(1000);
  add("a", 100);
  EXPECT_TRUE(core_->changes().empty());
  const auto told = [this](Residency from, Residency to) {
    const auto& changes = core_->changes();
    return changes.size() == 1 && changes[0].model == "a" && changes[0].from == from && changes[0].to == to;
  };
  lease(kR1, "a");
  EXPECT_TRUE(told(Residency::kCold, Residency::kPreparing));
  inspected("a");
  EXPECT_TRUE(told(Residency::kPreparing, Residency::kLoading));
  ready("a");
  EXPECT_TRUE(told(Residency::kLoading, Residency::kHot));
  lease(kR2, "a");
  EXPECT_TRUE(core_->changes().empty());
  release(kR1);
  release(kR2);
  step(ModelRemoved{"a"});
  EXPECT_TRUE(told(Residency::kHot, Residency::kStopping));
  exited("a");
  EXPECT_TRUE(told(Residency::kStopping, Residency::kCold)) << "also of one that is forgotten";
}

TEST_F(Catalog, SettingsThatChangeDuringALoadStartItAnew) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  // During the inspection: its answer will be about the old settings.
  const std::uint64_t old_ticket = ticket_.at("a");
  EXPECT_EQ(all<Inspect>(step(changed("a"))).size(), 1U);
  EXPECT_TRUE(step(Inspected{"a", old_ticket, Bytes::mib(1)}).empty());
  EXPECT_EQ(only<Spawn>(inspected("a")).footprint, Bytes::mib(100));
  // During the engine's start.
  EXPECT_EQ(only<Stop>(step(changed("a"))).model, "a");
  EXPECT_EQ(all<Inspect>(exited("a", ErrorCode::kNoCapacity)).size(), 1U);
  inspected("a");
  EXPECT_EQ(all<Grant>(ready("a")).size(), 1U);
}

TEST_F(Catalog, SettingsThatChangeBackBeforeTheLeasesEndChangeNothing) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  step(changed("a"));
  EXPECT_TRUE(lease(kR1, "a").empty());
  EXPECT_EQ(only<Grant>(step(ModelAdded{"a", false, PreloadStrategy::kLazy})).request, kR1);
  release(held);
  release(kR1);
  EXPECT_EQ(residency("a"), Residency::kHot);
}

TEST_F(Catalog, AnUnloadOfAModelWithChangedSettingsIsObeyed) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  step(changed("a"));
  unload(kR1, "a");
  release(held);
  EXPECT_EQ(only<Done>(exited("a")).request, kR1);
  EXPECT_EQ(residency("a"), Residency::kCold);
}

TEST_F(Catalog, AnOperatorsPinOutlivesAnUpdateThatDoesNotChangeThePin) {
  start(1000);
  add("a", 100);
  step(PinRequested{kR1, "a", true});
  step(ModelAdded{"a", false, PreloadStrategy::kEager});
  EXPECT_TRUE(view("a").pinned);
  step(ModelAdded{"a", true, PreloadStrategy::kEager});
  step(ModelAdded{"a", false, PreloadStrategy::kEager});
  EXPECT_FALSE(view("a").pinned);
}

TEST_F(Catalog, LimitsOfWaitingChangeForWhoComesLater) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  options_.max_queue_per_model = 1;
  options_.max_queue = 10;
  options_.load_timeout = seconds(5);
  options_.min_residency = options_.head_start = seconds(0);
  step(OptionsChanged{options_});
  EXPECT_EQ(only<Reject>(lease(kR2, "a")).error.code, ErrorCode::kQueueFull);
  inspected("a");
  EXPECT_EQ(core_->next_timer(), now_ + seconds(5));
}

// ---- draining ----

TEST_F(Drain, LetsLeasesFinishAndThenStopsEverything) {
  start(1000);
  for (const char* id : {"idle", "busy", "loading", "cold"}) add(id, 100);
  heat("idle");
  const RequestId held = heat_and_hold("busy");
  lease(kR1, "loading");
  inspected("loading");
  lease(kR2, "cold");
  const auto actions = step(DrainRequested{now_ + seconds(10)});
  EXPECT_EQ(all<Reject>(actions).size(), 2U);
  EXPECT_EQ(all<Reject>(actions)[0].error.code, ErrorCode::kDraining);
  EXPECT_EQ(all<Stop>(actions).size(), 2U);
  EXPECT_EQ(only<Reject>(lease(kR3, "busy")).error.code, ErrorCode::kDraining);
  exited("idle");
  exited("loading");
  EXPECT_FALSE(core_->drained());
  EXPECT_EQ(core_->next_timer(), now_ + seconds(10));
  const Abort abort = only<Abort>(wait(seconds(10)));
  EXPECT_EQ(abort.request, held);
  EXPECT_EQ(abort.error.code, ErrorCode::kDraining);
  EXPECT_EQ(only<Stop>(release(held, LeaseEnd::kFailed)).model, "busy");
  exited("busy");
  EXPECT_TRUE(core_->drained());
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
}

// ---- looks ----

TEST_F(Look, AtAHotModelIsNoUse) {
  start(1000, 2);
  add("a", 100);
  add("b", 100);
  heat("a");
  heat("b");
  now_ += seconds(10);
  const ModelView before = view("a");
  const CacheStats stats = core_->cache_stats();
  const Grant grant = only<Grant>(step(LeaseRequested{kR1, "a", TimePoint::max(), {}, /*looking=*/true}));
  EXPECT_EQ(grant.engine, engine_.at("a"));
  EXPECT_EQ(grant.waited, Duration::zero());
  EXPECT_EQ(view("a").leases, 1U);
  EXPECT_TRUE(release(kR1).empty());
  EXPECT_EQ(view("a").access_count, before.access_count);
  EXPECT_EQ(view("a").since_last_use, before.since_last_use);
  EXPECT_EQ(core_->cache_stats().hits, stats.hits);
  EXPECT_EQ(core_->cache_stats().misses, stats.misses);
  // The look does not refresh it: it stays the least recently used.
  add("c", 900);
  lease(kR2, "c");
  EXPECT_EQ(all<Stop>(inspected("c")).at(0).model, "a");
}

TEST_F(Look, KeepsTheEngineAndHasNoTtlOfItsOwn) {
  start(1000, 2);
  footprint_["a"] = Bytes::mib(100);
  step(ModelAdded{.model = "a", .unload_ttl = seconds(60)});
  heat("a");
  now_ += seconds(50);
  only<Grant>(step(LeaseRequested{kR1, "a", TimePoint::max(), {}, /*looking=*/true}));
  now_ += seconds(20);
  EXPECT_TRUE(all<Stop>(step(TimerFired{})).empty());
  release(kR1);
  EXPECT_EQ(all<Stop>(step(TimerFired{})).size(), 1U);
}

TEST_F(Look, LoadsAndWakesNothing) {
  start(1000, 2);
  engines_can_park();
  add("a", 100);
  const auto look = [this](const char* model) {
    return only<Reject>(step(LeaseRequested{next_id(), model, TimePoint::max(), {}, /*looking=*/true})).error.code;
  };
  EXPECT_EQ(look("a"), ErrorCode::kModelNotLoaded);
  EXPECT_EQ(look("nosuch"), ErrorCode::kModelNotFound);
  lease(kR1, "a");
  EXPECT_EQ(look("a"), ErrorCode::kModelNotLoaded);  // it is being inspected
  inspected("a");
  EXPECT_EQ(look("a"), ErrorCode::kModelNotLoaded);  // it loads
  ready("a");
  release(kR1);
  park(kR2, "a");
  EXPECT_EQ(look("a"), ErrorCode::kModelNotLoaded);  // it parks
  parked("a", 10);
  EXPECT_EQ(look("a"), ErrorCode::kModelNotLoaded);
  EXPECT_EQ(residency("a"), Residency::kParked);
  EXPECT_EQ(core_->cache_stats().hits + core_->cache_stats().misses, 1U);
}

TEST_F(Look, AtAnEngineThatDiesIsNotTriedAgain) {
  start(1000, 2);
  add("a", 100);
  heat("a");
  only<Grant>(step(LeaseRequested{kR1, "a", TimePoint::max(), {}, /*looking=*/true}));
  exited("a");
  EXPECT_EQ(only<Reject>(lost(kR1)).error.code, ErrorCode::kEngineCrashed);
  EXPECT_EQ(residency("a"), Residency::kCold);
}

}  // namespace
}  // namespace minerva
