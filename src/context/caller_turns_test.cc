#include "context/caller_turns.h"

#include <gtest/gtest.h>

#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::seconds;

TEST(CallerTurns, WhoUsedLessIsNext) {
  CallerTurns turns;
  EXPECT_EQ(turns.used(kAnn), turns.used(kBen));
  turns.begin(kAnn, seconds(1), 1);
  EXPECT_GT(turns.used(kAnn), turns.used(kBen));
  turns.begin(kBen, seconds(3), 1);
  EXPECT_LT(turns.used(kAnn), turns.used(kBen));
}

TEST(CallerTurns, SeveralSlotsCountSeveralTimes) {
  CallerTurns turns;
  turns.begin(kAnn, seconds(1), 3);
  turns.begin(kBen, seconds(2), 1);
  EXPECT_GT(turns.used(kAnn), turns.used(kBen));
}

TEST(CallerTurns, TheTimeThatARequestTookTakesThePlaceOfItsEstimate) {
  CallerTurns turns;
  turns.begin(kAnn, seconds(1), 1);
  turns.begin(kBen, seconds(2), 1);
  turns.end(kAnn, seconds(1), seconds(10), 1, /*waiting=*/100);
  EXPECT_GT(turns.used(kAnn), turns.used(kBen));
  turns.end(kAnn, seconds(10), seconds(1), 1, /*waiting=*/100);
  EXPECT_LT(turns.used(kAnn), turns.used(kBen));
}

TEST(CallerTurns, NewCallersWithoutEndKeepNobodyFromHisTurn) {
  CallerTurns turns;
  turns.begin(kAnn, seconds(5), 1);
  std::uint64_t newcomer = 100;
  for (; turns.used(kAnn) > turns.used(UserId{newcomer}); ++newcomer) {
    ASSERT_LT(newcomer, 200U);
    turns.begin(UserId{newcomer}, seconds(1), 1);
    turns.end(UserId{newcomer}, seconds(1), seconds(1), 1, /*waiting=*/10);
  }
  EXPECT_GT(newcomer, 110U) << "each of the ten who wait has as much as Ann first";
}

TEST(CallerTurns, AnIdleCallerHasNoCredit) {
  CallerTurns turns;
  for (int i = 0; i < 100; ++i) turns.begin(kAnn, seconds(1), 1);
  EXPECT_EQ(turns.used(kAnn) - turns.used(kBen), seconds(1)) << "not a hundred seconds that Ben may use before Ann";
}

TEST(CallerTurns, AreEqualAgainWhenCleared) {
  CallerTurns turns;
  turns.begin(kAnn, seconds(1), 1);
  turns.clear();
  EXPECT_EQ(turns.used(kAnn), turns.used(kBen));
}

TEST(CallerTurns, AreBounded) {
  CallerTurns turns;
  for (std::uint64_t caller = 0; caller < 10'000; ++caller) turns.begin(UserId{caller}, seconds(1), 1);
  turns.begin(kAnn, seconds(1), 1);
  EXPECT_GT(turns.used(kAnn), turns.used(UserId{20'000}));
}

}  // namespace
}  // namespace minerva
