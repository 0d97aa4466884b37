#include "context/breaker.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Failure = Breaker::Failure;

constexpr TimePoint kNow = TimePoint(seconds(1000));
constexpr Breaker::Backoff kBackoff{seconds(1), seconds(60), 7};

TEST(Breaker, IsClosedAtFirst) {
  const Breaker breaker;
  EXPECT_EQ(breaker.state(kNow), BreakerState::kClosed);
  EXPECT_EQ(breaker.failures(), 0);
}

TEST(Breaker, ToleratesOneCrashButNotAModelThatCannotBeLoaded) {
  for (const Failure failure : {Failure::kCrash, Failure::kRequest}) {
    Breaker breaker;
    breaker.failed(failure, kNow, kBackoff);
    EXPECT_EQ(breaker.state(kNow), BreakerState::kClosed);
    breaker.failed(failure, kNow, kBackoff);
    EXPECT_EQ(breaker.state(kNow), BreakerState::kOpen);
  }
  Breaker breaker;
  breaker.failed(Failure::kLoad, kNow, kBackoff);
  EXPECT_TRUE(breaker.open(kNow));
}

TEST(Breaker, BacksOffTwiceAsLongEachTimeLessAJitter) {
  Breaker breaker;
  Duration full = seconds(1);
  for (int i = 0; i < 10; ++i) {
    breaker.failed(Failure::kLoad, kNow, kBackoff);
    const Duration backoff = breaker.open_until() - kNow;
    EXPECT_LE(backoff, full);
    EXPECT_GT(backoff, full * 3 / 4 - milliseconds(1));
    EXPECT_TRUE(breaker.open(breaker.open_until() - milliseconds(1)));
    EXPECT_TRUE(breaker.half_open(breaker.open_until()));
    full = std::min<Duration>(full * 2, seconds(60));
  }
}

TEST(Breaker, JitterFollowsFromTheSeed) {
  const auto backoff = [](std::uint64_t seed) {
    Breaker breaker;
    breaker.failed(Failure::kLoad, kNow, {seconds(1), seconds(60), seed});
    return breaker.open_until() - kNow;
  };
  EXPECT_EQ(backoff(1), backoff(1));
  EXPECT_NE(backoff(1), backoff(2));
}

TEST(Breaker, ALoadProvesWhatFailedToLoadAndOnlyARequestTheRest) {
  Breaker load;
  load.failed(Failure::kLoad, kNow, kBackoff);
  load.loaded();
  EXPECT_EQ(load.state(kNow), BreakerState::kClosed);
  EXPECT_EQ(load.failures(), 1) << "only a served request forgives";

  Breaker request;
  request.failed(Failure::kRequest, kNow, kBackoff);
  request.failed(Failure::kLoad, kNow, kBackoff);
  request.loaded();
  EXPECT_TRUE(request.half_open(request.open_until()));
  request.served();
  EXPECT_EQ(request.state(kNow), BreakerState::kClosed);
  EXPECT_EQ(request.failures(), 0);
}

TEST(Breaker, AnOperatorsTryDoesNotForgive) {
  Breaker breaker;
  breaker.failed(Failure::kCrash, kNow, kBackoff);
  breaker.let_through();
  breaker.failed(Failure::kCrash, kNow, kBackoff);
  EXPECT_TRUE(breaker.open(kNow));
  breaker.let_through();
  EXPECT_EQ(breaker.state(kNow), BreakerState::kClosed);
}

TEST(Breaker, AnEndlessBackoffIsNoOverflow) {
  Breaker breaker;
  breaker.failed(Failure::kLoad, TimePoint::max(), {Duration::max(), Duration::max(), 0});
  EXPECT_EQ(breaker.state(kNow), BreakerState::kOpen);
}

}  // namespace
}  // namespace minerva
