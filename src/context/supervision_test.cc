// What happens to requests when engines die or hang: retries, the breaker's tries, deadlines, estimates, the accounts.
#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class Supervision : public CoreTest {
 protected:
  // Its engine dies twice in a row while it is hot, so the breaker opens.
  void crash_twice(const ModelId& model) {
    for (int i = 0; i < 2; ++i) {
      const RequestId held = heat_and_hold(model);
      exited(model);
      release(held, LeaseEnd::kFailed);
    }
    ASSERT_EQ(view(model).breaker, BreakerState::kOpen);
  }
  void end_backoff(const ModelId& model) {
    now_ += view(model).tried_again_in.value();
    ASSERT_EQ(view(model).breaker, BreakerState::kHalfOpen);
  }
};

using Retry = Supervision;
using Probe = Supervision;
using Watchdog = Supervision;
using Deadline = Supervision;
using Estimate = Supervision;
using Counts = Supervision;

// ---- retries ----

TEST_F(Retry, ALostLeaseGetsAFreshEngineOnce) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  const EngineId first = engine_["a"];
  exited("a");
  EXPECT_EQ(all<Inspect>(lost(held)).size(), 1U);
  inspected("a");
  const Grant grant = only<Grant>(ready("a"));
  EXPECT_EQ(grant.request, held);
  EXPECT_NE(grant.engine, first);
  EXPECT_EQ(grant.outcome, CacheOutcome::kMiss);
  EXPECT_EQ(core_->cache_stats().misses, 1U) << "one request, one lookup";
  release(held);
  EXPECT_EQ(core_->request_counts(), (RequestCounts{.accepted = 1, .completed = 1}));
}

TEST_F(Retry, NeverAfterTwoDeaths) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  exited("a");
  lost(held);
  inspected("a");
  ready("a");
  const RequestId other = heat_and_hold("a");
  // A request that is served in between keeps the breaker closed, so the breaker is not what ends this request.
  release(other);
  exited("a");
  EXPECT_EQ(view("a").breaker, BreakerState::kClosed);
  const Reject reject = only<Reject>(lost(held));
  EXPECT_EQ(reject.error.code, ErrorCode::kEngineCrashed);
  EXPECT_EQ(reject.error.message, "it died");
  EXPECT_EQ(core_->request_counts().failed, 1U);
}

TEST_F(Retry, TheBreakerIsStrongerAndSaysWhen) {
  start(1000);
  add("a", 100);
  heat_and_hold("a");
  exited("a");
  const RequestId held = heat_and_hold("a");
  exited("a");
  const Reject reject = only<Reject>(lost(held));
  EXPECT_EQ(reject.error.code, ErrorCode::kEngineCrashed);
  EXPECT_EQ(reject.error.retry_after_s, 2);
}

TEST_F(Retry, WhoIsLostWhileTheEngineLivesIsRefused) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  EXPECT_EQ(only<Reject>(lost(held)).error.code, ErrorCode::kEngineCrashed);
  EXPECT_EQ(view("a").leases, 0U);
  EXPECT_EQ(core_->request_counts().failed, 1U);
  EXPECT_TRUE(lost(held).empty());
}

TEST_F(Retry, OfAModelThatIsGoneOrAServerThatDrains) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  const RequestId other = heat_and_hold("a");
  exited("a");
  step(ModelRemoved{"a"});
  EXPECT_EQ(only<Reject>(lost(held)).error.code, ErrorCode::kModelNotFound);
  add("a", 100);
  step(DrainRequested{now_ + seconds(9)});
  EXPECT_EQ(only<Reject>(lost(other)).error.code, ErrorCode::kDraining);
  EXPECT_EQ(core_->request_counts(), (RequestCounts{.accepted = 2, .failed = 1, .shed = 1}));
}

TEST_F(Retry, IsNotTurnedAwayByAFullQueue) {
  ContextOptions options;
  options.max_queue_per_model = 1;
  start(options);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  const RequestId other = heat_and_hold("a");
  exited("a");
  EXPECT_TRUE(all<Reject>(lost(held)).empty());
  EXPECT_TRUE(all<Reject>(lost(other)).empty());
  EXPECT_EQ(only<Reject>(lease(kR1, "a")).error.code, ErrorCode::kQueueFull);
}

TEST_F(Retry, ACrashInLoadIsTriedAgainForRequestsAndToldToOperators) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  load(kR2, "a");
  inspected("a");
  const auto actions = exited("a");
  EXPECT_EQ(all<Reject>(actions).at(0).request, kR2);
  EXPECT_EQ(all<Inspect>(actions).size(), 1U);
  inspected("a");
  lease(kR3, "a");
  // This is the second engine that dies: no request gets a third.
  EXPECT_EQ(all<Reject>(exited("a")).size(), 2U);
  EXPECT_EQ(residency("a"), Residency::kQuarantined);
  EXPECT_EQ(core_->request_counts().failed, 2U);
}

TEST_F(Retry, AModelThatCannotBeLoadedIsNotTriedAgain) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  inspected("a");
  EXPECT_EQ(only<Reject>(exited("a", ErrorCode::kInvalidModel)).request, kR1);
  EXPECT_EQ(residency("a"), Residency::kQuarantined);
}

// ---- half open ----

TEST_F(Probe, OneRequestProvesTheModelToTheOthers) {
  start(1000);
  add("a", 100);
  crash_twice("a");
  EXPECT_EQ(only<Reject>(lease(next_id(), "a")).error.code, ErrorCode::kQuarantined);
  end_backoff("a");
  EXPECT_EQ(all<Inspect>(lease(kR1, "a")).size(), 1U);
  lease(kR2, "a");
  inspected("a");
  EXPECT_EQ(only<Grant>(ready("a")).request, kR1);
  EXPECT_TRUE(lease(kR3, "a").empty());
  EXPECT_EQ(view("a").waiting, 2U);
  const auto grants = all<Grant>(release(kR1));
  EXPECT_EQ(grants.size(), 2U);
  EXPECT_EQ(view("a").breaker, BreakerState::kClosed);
  EXPECT_FALSE(view("a").last_failure.has_value());
}

TEST_F(Probe, AProbeThatProvesNothingIsFollowedByTheNext) {
  start(1000);
  add("a", 100);
  crash_twice("a");
  end_backoff("a");
  lease(kR1, "a");
  lease(kR2, "a");
  lease(kR3, "a");
  inspected("a");
  ready("a");
  EXPECT_EQ(only<Grant>(release(kR1, LeaseEnd::kCancelled)).request, kR2);
  EXPECT_EQ(only<Grant>(release(kR2, LeaseEnd::kFailed)).request, kR3);
}

TEST_F(Probe, AProbeThatKillsItsEngineOpensTheBreakerForLonger) {
  start(1000);
  add("a", 100);
  crash_twice("a");
  const Duration first = view("a").tried_again_in.value();
  end_backoff("a");
  lease(kR1, "a");
  lease(kR2, "a");
  inspected("a");
  ready("a");
  EXPECT_EQ(only<Reject>(exited("a")).request, kR2);
  EXPECT_GT(view("a").tried_again_in.value(), first);
  EXPECT_EQ(only<Reject>(lost(kR1)).error.code, ErrorCode::kEngineCrashed);
}

TEST_F(Probe, TheQueueBehindItIsBounded) {
  ContextOptions options;
  options.max_queue_per_model = 1;
  start(options);
  add("a", 100);
  crash_twice("a");
  end_backoff("a");
  lease(kR1, "a");
  inspected("a");
  ready("a");
  EXPECT_TRUE(lease(kR2, "a").empty());
  EXPECT_EQ(only<Reject>(lease(kR3, "a")).error.code, ErrorCode::kQueueFull);
}

TEST_F(Probe, AfterFailedLoadsALoadIsProofEnough) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  inspected("a");
  exited("a", ErrorCode::kInvalidModel);
  end_backoff("a");
  lease(kR2, "a");
  lease(kR3, "a");
  inspected("a");
  EXPECT_EQ(all<Grant>(ready("a")).size(), 2U);
  EXPECT_EQ(view("a").breaker, BreakerState::kClosed);
}

TEST_F(Probe, AnOperatorsLoadClosesTheBreaker) {
  start(1000);
  add("a", 100);
  crash_twice("a");
  EXPECT_EQ(all<Inspect>(load(kR1, "a")).size(), 1U);
  EXPECT_EQ(view("a").breaker, BreakerState::kClosed);
}

// ---- engines that hang ----

TEST_F(Watchdog, AStalledEngineIsKilledAndServesNobodyAnyMore) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  EXPECT_EQ(only<Kill>(step(EngineStalled{engine_["a"]})).model, "a");
  EXPECT_TRUE(step(EngineStalled{engine_["a"]}).empty()) << "once is enough";
  EXPECT_TRUE(lease(kR1, "a").empty());
  exited("a", ErrorCode::kEngineTimeout);
  lost(held);
  inspected("a");
  EXPECT_EQ(all<Grant>(ready("a")).size(), 2U);
}

TEST_F(Watchdog, ALoadThatStallsIsTriedAgainOnce) {
  start(1000);
  add("a", 100);
  lease(kR1, "a");
  for (int i = 0; i < 2; ++i) {
    inspected("a");
    EXPECT_EQ(only<Kill>(step(EngineStalled{engine_["a"]})).engine, engine_["a"]);
    const auto actions = exited("a", ErrorCode::kEngineTimeout);
    EXPECT_EQ(all<Reject>(actions).size(), i == 0 ? 0U : 1U);
  }
  EXPECT_EQ(residency("a"), Residency::kQuarantined);
}

TEST_F(Watchdog, WhoIsIdleOrLeavingOrGoneNeedNotMove) {
  start(1000);
  add("a", 100);
  heat("a");
  EXPECT_TRUE(step(EngineStalled{engine_["a"]}).empty());
  unload(kR1, "a");
  EXPECT_TRUE(step(EngineStalled{engine_["a"]}).empty());
  exited("a");
  EXPECT_TRUE(step(EngineStalled{engine_["a"]}).empty());
}

TEST_F(Watchdog, AStalledEngineWhoseClientsLeaveMayStillBeStopped) {
  start(1000);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  step(EngineStalled{engine_["a"]});
  release(held, LeaseEnd::kCancelled);
  EXPECT_EQ(only<Stop>(unload(kR1, "a")).engine, engine_["a"]);
  EXPECT_EQ(only<Done>(exited("a")).request, kR1);
}

// ---- what is not started ----

TEST_F(Deadline, NobodyIsGrantedAfterIt) {
  start(1000);
  add("a", 100);
  lease(kR1, "a", seconds(5));
  lease(kR2, "a", seconds(50));
  inspected("a");
  now_ += seconds(6);
  const auto actions = ready("a");
  EXPECT_EQ(all<Reject>(actions).at(0).request, kR1);
  EXPECT_EQ(all<Grant>(actions).at(0).request, kR2);
  EXPECT_EQ(all<Grant>(actions).size(), 1U);
}

TEST_F(Deadline, NorIsAnInspectionStartedForWhoCameTooLate) {
  start(1000);
  add("a", 100);
  EXPECT_EQ(only<Reject>(lease(kR1, "a", -seconds(1))).error.code, ErrorCode::kNoCapacity);
  heat("a");
  EXPECT_EQ(only<Reject>(lease(kR2, "a", seconds(0))).error.code, ErrorCode::kNoCapacity);
}

TEST_F(Deadline, WhoLeavesAfterItGetsNoAnswerAnyMore) {
  start(1000);
  add("a", 100);
  lease(kR1, "a", seconds(5));
  now_ += seconds(6);
  EXPECT_TRUE(step(RequestCancelled{kR1}).empty());
  EXPECT_EQ(core_->request_counts(), (RequestCounts{.accepted = 1, .cancelled = 1}));
}

TEST_F(Deadline, WhatPassedIsNoticedByAnotherModelsRequest) {
  start(1000);
  add("a", 100);
  add("b", 100);
  heat("b");
  lease(kR1, "a", seconds(5));
  now_ += seconds(6);
  const auto actions = lease(kR2, "b");
  EXPECT_EQ(all<Reject>(actions).at(0).request, kR1);
  EXPECT_EQ(all<Grant>(actions).at(0).request, kR2);
  EXPECT_EQ(residency("a"), Residency::kCold);
}

// ---- estimates ----

TEST_F(Estimate, LoadTimesAreAveragedAndPlansSayThem) {
  start(1000);
  add("a", 100);
  EXPECT_EQ(core_->plan_load("a", Bytes::mib(100), now_)->expected_load_time, std::nullopt);
  for (const Duration took : {seconds(4), seconds(10)}) {
    lease(kR1, "a");
    inspected("a");
    now_ += took;
    ready("a");
    release(kR1);
    EXPECT_EQ(core_->plan_load("a", Bytes::mib(100), now_)->expected_load_time, Duration::zero());
    unload(kR2, "a");
    exited("a");
  }
  EXPECT_EQ(core_->plan_load("a", Bytes::mib(100), now_)->expected_load_time, seconds(6));
  EXPECT_EQ(view("a").expected_load_time, seconds(6));
  load(kR3, "a");
  inspected("a");
  now_ += seconds(2);
  step(TimerFired{});
  EXPECT_EQ(core_->plan_load("a", Bytes::mib(100), now_)->expected_load_time, seconds(4));
}

TEST_F(Estimate, RetryAfterIsWhatIsLeftOfTheLoad) {
  ContextOptions options;
  options.max_queue_per_model = 1;
  start(options);
  add("a", 100);
  lease(kR1, "a");
  inspected("a");
  now_ += seconds(20);
  ready("a");
  release(kR1);
  unload(kR2, "a");
  exited("a");
  lease(kR3, "a");
  EXPECT_EQ(only<Reject>(lease(next_id(), "a")).error.retry_after_s, 20);
  inspected("a");
  now_ += seconds(15);
  EXPECT_EQ(only<Reject>(lease(next_id(), "a")).error.retry_after_s, 5);
  now_ += seconds(50);
  EXPECT_EQ(only<Reject>(lease(kR4, "a")).error.retry_after_s, 1) << "overdue: any moment";
}

TEST_F(Estimate, RetryAfterOfAProbedModelIsItsRequestsTime) {
  ContextOptions options;
  options.max_queue_per_model = 1;
  start(options);
  add("a", 100);
  const RequestId held = heat_and_hold("a");
  now_ += seconds(7);
  release(held);
  crash_twice("a");
  end_backoff("a");
  lease(kR1, "a");
  inspected("a");
  ready("a");
  lease(kR2, "a");
  EXPECT_EQ(only<Reject>(lease(kR3, "a")).error.retry_after_s, 14) << "one runs and one waits, 7 s each";
}

TEST_F(Estimate, RetryAfterGrowsWithTheLine) {
  ContextOptions options;
  options.max_models = 1;
  options.max_queue_per_model = 1;
  options.min_residency = seconds(2);
  start(options);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  lease(kR1, "a");
  inspected("a");
  now_ += seconds(10);
  ready("a");
  lease(kR2, "b");
  inspected("b");
  lease(kR3, "c");
  inspected("c");
  // b was never loaded, so the estimate is as for the others: 10 s for each, and a turn of 2 s for the model before it.
  EXPECT_EQ(only<Reject>(lease(next_id(), "b")).error.retry_after_s, 10);
  EXPECT_EQ(only<Reject>(lease(next_id(), "c")).error.retry_after_s, 22);
  // It drains for b, and its line is the last one.
  now_ += seconds(2);
  step(TimerFired{});
  EXPECT_TRUE(lease(kR4, "a").empty());
  EXPECT_EQ(only<Reject>(lease(next_id(), "a")).error.retry_after_s, 34);
}

// ---- accounts ----

TEST_F(Counts, EachRequestHasOneEnd) {
  ContextOptions options;
  options.max_queue_per_model = 3;
  start(options);
  add("a", 100);
  lease(next_id(), "nobody");  // failed
  lease(kR1, "a");             // completed
  lease(kR2, "a");             // cancelled while it waits
  lease(kR3, "a");             // failed
  lease(kR4, "a");             // shed
  const RequestId cancelled = next_id();
  load(next_id(), "a");  // not an inference request
  step(RequestCancelled{kR2});
  EXPECT_EQ(core_->queued(), 2U);
  inspected("a");
  ready("a");
  lease(cancelled, "a");
  release(kR1);
  release(kR3, LeaseEnd::kFailed);
  release(cancelled, LeaseEnd::kCancelled);
  EXPECT_EQ(core_->request_counts(),
            (RequestCounts{.accepted = 6, .completed = 1, .failed = 2, .shed = 1, .cancelled = 2}));
}

TEST_F(Counts, WaitingMeansRequestsNotLoads) {
  start(1000);
  add("a", 100);
  load(kR1, "a");
  EXPECT_EQ(view("a").waiting, 0U);
  EXPECT_EQ(core_->queued(), 0U);
  lease(kR2, "a");
  EXPECT_EQ(view("a").waiting, 1U);
  EXPECT_EQ(core_->queued(), 1U);
}

TEST(BreakerStateName, OfEach) {
  EXPECT_EQ(breaker_state_name(BreakerState::kClosed), "closed");
  EXPECT_EQ(breaker_state_name(BreakerState::kOpen), "open");
  EXPECT_EQ(breaker_state_name(BreakerState::kHalfOpen), "half_open");
}

}  // namespace
}  // namespace minerva
