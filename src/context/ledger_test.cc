#include "context/ledger.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

constexpr EngineId kA{1};
constexpr EngineId kB{2};

TEST(Ledger, HoldsFromReserveToRelease) {
  Ledger ledger(Bytes(10), 2);
  ledger.reserve(kA, Bytes(6));
  EXPECT_EQ(ledger.held(kA), Bytes(6));
  EXPECT_FALSE(ledger.now().fits(Bytes(5)));
  EXPECT_TRUE(ledger.now().fits(Bytes(4)));
  ledger.mark_leaving(kA, Bytes());
  EXPECT_EQ(ledger.reserved(), Bytes(6));
  EXPECT_FALSE(ledger.now().fits(Bytes(5)));
  EXPECT_TRUE(ledger.after_exits().fits(Bytes(10)));
  ledger.check_invariants();
  ledger.release(kA);
  EXPECT_EQ(ledger.reserved(), Bytes(0));
  EXPECT_EQ(ledger.engines(), 0U);
  EXPECT_TRUE(ledger.now().fits(Bytes(10)));
  ledger.check_invariants();
}

TEST(Ledger, CountsEnginesToo) {
  Ledger ledger(Bytes(UINT64_MAX), 1);
  ledger.reserve(kA, Bytes(0));
  EXPECT_FALSE(ledger.now().fits(Bytes(0)));
  ledger.mark_leaving(kA, Bytes());
  EXPECT_FALSE(ledger.now().fits(Bytes(0)));
  EXPECT_TRUE(ledger.after_exits().fits(Bytes(0)));
}

TEST(Ledger, ASmallerLimitTakesNothingAway) {
  Ledger ledger(Bytes(10), 0);
  ledger.reserve(kA, Bytes(4));
  ledger.reserve(kB, Bytes(4));
  ledger.set_limits(Bytes(5), 1);
  EXPECT_EQ(ledger.reserved(), Bytes(8));
  EXPECT_FALSE(ledger.now().within());
  EXPECT_FALSE(ledger.now().fits(Bytes(0)));
  ledger.check_invariants();
  ledger.release(kA);
  EXPECT_TRUE(ledger.now().within());
  EXPECT_FALSE(ledger.now().fits(Bytes(1)));
  ledger.check_invariants();
}

TEST(Ledger, AParkedEngineKeepsItsResidueAndGivesBackItsSlot) {
  Ledger ledger(Bytes(10), 1);
  ledger.reserve(kA, Bytes(8));
  ledger.mark_leaving(kA, Bytes(2));
  EXPECT_EQ(ledger.reserved(), Bytes(8));
  EXPECT_FALSE(ledger.now().fits(Bytes(1)));
  EXPECT_TRUE(ledger.after_exits().fits(Bytes(8)));
  EXPECT_FALSE(ledger.after_exits().fits(Bytes(9)));
  ledger.park(kA, Bytes(3), Bytes(50));  // more than was expected
  EXPECT_EQ(ledger.reserved(), Bytes(3));
  EXPECT_EQ(ledger.images(), Bytes(50));
  EXPECT_TRUE(ledger.now().fits(Bytes(7)));
  ledger.check_invariants();
  ledger.wake(kA, Bytes(8));
  EXPECT_EQ(ledger.reserved(), Bytes(8));
  EXPECT_FALSE(ledger.now().fits(Bytes(0)));
  EXPECT_EQ(ledger.image(kA), Bytes(50));  // the engine maps its memory from the image
  ledger.check_invariants();
  ledger.release(kA);
  EXPECT_EQ(ledger.images(), Bytes(0));
  ledger.check_invariants();
}

TEST(Ledger, ARefusedParkChangesNothing) {
  Ledger ledger(Bytes(10), 1);
  ledger.reserve(kA, Bytes(8));
  ledger.mark_leaving(kA, Bytes(2));
  ledger.mark_staying(kA);
  EXPECT_EQ(ledger.reserved(), Bytes(8));
  EXPECT_FALSE(ledger.after_exits().fits(Bytes(1)));
  ledger.check_invariants();
}

TEST(Ledger, WhatIsToldToStopWhileItParksStopsAltogether) {
  Ledger ledger(Bytes(10), 0);
  ledger.reserve(kA, Bytes(8));
  ledger.mark_leaving(kA, Bytes(2));
  ledger.mark_leaving(kA, Bytes());
  EXPECT_TRUE(ledger.after_exits().fits(Bytes(10)));
  ledger.check_invariants();
}

TEST(Ledger, AResidueIsNeverMoreThanWasHeld) {
  Ledger ledger(Bytes(10), 0);
  ledger.reserve(kA, Bytes(8));
  ledger.park(kA, Bytes(9), Bytes());
  EXPECT_EQ(ledger.reserved(), Bytes(8));
  ledger.check_invariants();
}

TEST(Ledger, AMeasurementMayExceedTheLimit) {
  Ledger ledger(Bytes(10), 0);
  ledger.reserve(kA, Bytes(8));
  ledger.correct(kA, Bytes(12));
  EXPECT_FALSE(ledger.now().within());
  ledger.check_invariants();
  ledger.correct(kA, Bytes(5));
  EXPECT_TRUE(ledger.now().fits(Bytes(5)));
  ledger.check_invariants();
}

TEST(Ledger, SurvivesTheLargestNumbers) {
  Ledger ledger(Bytes(UINT64_MAX), 0);
  ledger.reserve(kA, Bytes(UINT64_MAX));
  EXPECT_TRUE(ledger.now().fits(Bytes(0)));
  EXPECT_FALSE(ledger.now().fits(Bytes(1)));
  ledger.release(kA);
  EXPECT_EQ(ledger.reserved(), Bytes(0));
}

TEST(LedgerDeathTest, MisuseIsABug) {
  Ledger ledger(Bytes(10), 0);
  EXPECT_DEATH(ledger.reserve(kA, Bytes(11)), "above the limit");
  ledger.reserve(kA, Bytes(1));
  EXPECT_DEATH(ledger.reserve(kA, Bytes(1)), "reserved twice");
  EXPECT_DEATH(ledger.release(kB), "holds nothing");
  EXPECT_DEATH(ledger.mark_leaving(kB, Bytes()), "holds nothing");
  EXPECT_DEATH(ledger.mark_staying(kA), "did not leave");
  EXPECT_DEATH(ledger.wake(kA, Bytes(1)), "not parked");
  ledger.park(kA, Bytes(0), Bytes(1));
  EXPECT_DEATH(ledger.wake(kA, Bytes(11)), "above the limit");
  EXPECT_DEATH(ledger.correct(kA, Bytes(1)), "not hot");
}

}  // namespace
}  // namespace minerva
