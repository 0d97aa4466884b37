// Models are loaded before anybody asks for them.
#include <fmt/format.h>

#include "context/core_fixture.h"
#include "context/prediction_score.h"

namespace minerva {
namespace {

class PredictingTest : public CoreTest {
 protected:
  void start_predicting(std::uint64_t budget_mib, PredictionOptions prediction = {.preload = true}) {
    ContextOptions options;
    options.memory_budget = Bytes::mib(budget_mib);
    options.prediction = prediction;
    start(options);
  }
  // Serves a request, at once or after a load. Returns the actions that follow its end.
  std::vector<Action> serve(const ModelId& model) {
    now_ += std::chrono::seconds(10);
    const RequestId id = next_id();
    step({LeaseRequested{id, model, now_ + kPatience, {.user = kAnn}}});
    if (residency(model) == Residency::kPreparing) inspected(model);
    now_ += std::chrono::seconds(3);
    if (residency(model) == Residency::kLoading) ready(model);
    return release(id);
  }
  // Makes b a habit after a, and has b out of memory again.
  void learn_that_b_follows_a() {
    for (int i = 0; i < 5; ++i) {
      serve("a");
      serve("b");
    }
    unload(next_id(), "b");
    exited("b");
  }
  // As before, and b is being loaded on a guess.
  void guess_b() {
    learn_that_b_follows_a();
    EXPECT_EQ(all<Inspect>(serve("a")).size(), 1U);
    EXPECT_EQ(all<Spawn>(inspected("b")).size(), 1U);
  }
};

TEST_F(PredictingTest, IsOffUnlessAskedFor) {
  start_predicting(100, {});
  add("a", 40);
  add("b", 40);
  learn_that_b_follows_a();
  EXPECT_TRUE(serve("a").empty());
}

TEST_F(PredictingTest, WhatIsLikelyIsLoadedAndSaysWhy) {
  start_predicting(100);
  add("a", 40);
  add("b", 40);
  guess_b();
  ready("b");
  EXPECT_TRUE(view("b").preloaded);
  EXPECT_FALSE(view("b").since_last_use);
  EXPECT_EQ(core_->cache_stats().preloads, 1U);
  EXPECT_EQ(core_->decisions().back().reason,
            "it is preloaded: after \"a\" this user asked for it 4 of 4 times; it needs 40 MiB and 60 of 100 MiB are "
            "free");
  now_ += std::chrono::seconds(10);
  const RequestId id = next_id();
  EXPECT_EQ(all<Grant>(step(LeaseRequested{id, "b", now_ + kPatience, {.user = kAnn}})).size(), 1U);
  const PredictionStats stats = core_->predictions();
  EXPECT_EQ(stats.made, 1U);
  EXPECT_EQ(stats.used, 1U);
  EXPECT_EQ(stats.wasted, 0U);
  EXPECT_EQ(stats.saved, view("b").expected_load_time);
}

TEST_F(PredictingTest, NothingIsLoadedWhileARequestRuns) {
  start_predicting(200);
  add("a", 40);
  add("b", 40);
  add("c", 40);
  learn_that_b_follows_a();
  const RequestId other = heat_and_hold("c");
  EXPECT_TRUE(serve("a").empty());
  EXPECT_EQ(only<Inspect>(release(other)).model, "b");
}

TEST_F(PredictingTest, NobodyLeavesForAGuess) {
  start_predicting(150);
  add("a", 70);
  add("b", 40);
  add("c", 50);
  learn_that_b_follows_a();
  heat("c");
  EXPECT_TRUE(serve("a").empty());
  EXPECT_EQ(residency("c"), Residency::kHot);
}

TEST_F(PredictingTest, NothingIsGuessedUnderPressure) {
  start_predicting(100);
  add("a", 40);
  add("b", 40);
  learn_that_b_follows_a();
  step(PressureChanged{true, Bytes()});
  EXPECT_TRUE(serve("a").empty());
}

TEST_F(PredictingTest, APinnedModelIsNotGuessed) {
  start_predicting(100);
  add("a", 40);
  add("b", 40);
  learn_that_b_follows_a();
  step(PinRequested{next_id(), "b", true});
  EXPECT_TRUE(serve("a").empty());
}

TEST_F(PredictingTest, ALoadOnAGuessYieldsAtOnce) {
  start_predicting(150);
  add("a", 40);
  add("b", 40);
  add("c", 40);
  guess_b();
  const auto actions = lease(kR1, "c");
  ASSERT_EQ(all<Stop>(actions).size(), 1U);
  EXPECT_EQ(all<Stop>(actions)[0].model, "b");
  EXPECT_FALSE(all<Stop>(actions)[0].evicted);
  EXPECT_EQ(core_->predictions().wasted, 1U);
  EXPECT_EQ(core_->predictions().wasted_bytes, Bytes::mib(40));
}

TEST_F(PredictingTest, WhoComesWhileItLoadsOnlyWaitsForTheRest) {
  start_predicting(100);
  add("a", 40);
  add("b", 40);
  guess_b();
  now_ += std::chrono::seconds(2);
  EXPECT_TRUE(nothing(lease(kR1, "b")));
  EXPECT_EQ(core_->predictions().saved, std::chrono::seconds(2));
  now_ += std::chrono::seconds(1);
  EXPECT_EQ(only<Grant>(ready("b")).waited, std::chrono::seconds(1));
  EXPECT_FALSE(view("b").preloaded);
}

TEST_F(PredictingTest, WhatWasLoadedOnAGuessIsTheFirstToGo) {
  start_predicting(100);
  engines_can_park();
  add("a", 40);
  add("b", 40);
  add("c", 60);
  guess_b();
  ready("b");
  // a was used longer ago than b came, but b leaves first. It has no conversation to keep, so it is stopped.
  lease(kR1, "c");
  const Stop stop = only<Stop>(inspected("c"));
  EXPECT_EQ(stop.model, "b");
  EXPECT_EQ(stop.victim_of, "c");
  EXPECT_EQ(only<Spawn>(exited("b")).model, "c");
  EXPECT_EQ(residency("a"), Residency::kHot);
  EXPECT_EQ(core_->predictions().wasted, 1U);
}

TEST_F(PredictingTest, AParkedModelIsWokenAndParkedAgain) {
  start_predicting(100);
  engines_can_park();
  add("a", 40);
  add("b", 40);
  add("c", 50);
  for (int i = 0; i < 5; ++i) {
    serve("a");
    serve("b");
  }
  park(next_id(), "b");
  parked("b", 5);
  EXPECT_EQ(only<Wake>(serve("a")).model, "b");
  woken("b");
  lease(kR1, "c");
  const Park again = only<Park>(inspected("c"));
  EXPECT_EQ(again.model, "b");
  EXPECT_EQ(again.victim_of, "c");
}

TEST_F(PredictingTest, AFailureIsNotHeldAgainstTheModel) {
  start_predicting(100);
  add("a", 40);
  add("b", 40);
  guess_b();
  EXPECT_TRUE(exited("b").empty());
  EXPECT_EQ(view("b").breaker, BreakerState::kClosed);
  EXPECT_FALSE(view("b").last_failure);
  EXPECT_TRUE(serve("a").empty());  // it is not loaded again on a guess
  serve("b");
  unload(next_id(), "b");
  exited("b");
  EXPECT_EQ(only<Inspect>(serve("a")).model, "b");
}

TEST_F(PredictingTest, AFileIsReadAheadWhereThereIsNoRoom) {
  start_predicting(100, {.preload = true, .read_ahead = true});
  add("a", 70);
  add("b", 40);
  for (int i = 0; i < 5; ++i) {
    lease(kR1, "a");
    if (residency("a") == Residency::kPreparing) inspected("a");
    if (residency("b") == Residency::kStopping) exited("b");
    ready("a");
    const auto actions = release(kR1);
    if (i == 0) EXPECT_TRUE(all<ReadAhead>(actions).empty());
    if (i == 4) {
      ASSERT_EQ(all<ReadAhead>(actions).size(), 1U);
      EXPECT_EQ(all<ReadAhead>(actions)[0].model, "b");
      EXPECT_TRUE(all<ReadAhead>(actions)[0].likely);
    }
    lease(kR2, "b");
    inspected("b");
    exited("a");
    ready("b");
    release(kR2);
  }
}

TEST_F(PredictingTest, StopsWhenItDoesNotPayAndGoesOnOnPaper) {
  start_predicting(100);
  for (const char* const model : {"a", "b", "c"}) add(model, 40);
  learn_that_b_follows_a();
  serve("c");
  unload(next_id(), "c");
  exited("c");
  // From now on a follows a. As long as b is likely it is still guessed, and c takes its room.
  for (int i = 0; i < 40 && !core_->predictions().paused; ++i) {
    serve("a");
    for (const char* const model : {"b", "c"}) {
      if (residency(model) == Residency::kPreparing) inspected(model);
      if (residency(model) != Residency::kLoading) continue;
      ready(model);
      unload(next_id(), model);
      exited(model);
    }
  }
  ASSERT_TRUE(core_->predictions().paused);
  const std::uint64_t made = core_->predictions().made;
  // Guesses would have paid: b is wanted again and again.
  for (int i = 0; i < 10; ++i) {
    serve("a");
    serve("b");
    if (core_->predictions().paused) EXPECT_EQ(core_->predictions().made, made);
    unload(next_id(), "b");
    exited("b");
  }
  EXPECT_FALSE(core_->predictions().paused);
}

TEST(PredictionScore, PausesBelowOneInTenAndGoesOnWhenItPays) {
  PredictionScore score;
  for (int i = 0; i < 5; ++i) {
    EXPECT_FALSE(score.paused());
    score.count(false);
  }
  score.count(false);
  EXPECT_TRUE(score.paused());
  score.count(true);
  score.count(true);
  EXPECT_FALSE(score.paused());
  for (int i = 0; i < 100; ++i) score.count(i % 5 == 0);
  EXPECT_FALSE(score.paused());
  for (int i = 0; i < 100; ++i) score.count(i % 20 == 0);
  EXPECT_TRUE(score.paused());
}

}  // namespace
}  // namespace minerva
