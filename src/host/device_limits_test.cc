// What models may have of a device beside other programs.
#include "host/device_limits.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class DeviceLimitsTest : public testing::Test {
 protected:
  // A device of 3200 MiB, of which 100 are the margin.
  void sample(std::uint64_t free_mib, std::uint64_t held_mib = 0, Duration after = milliseconds(500)) {
    now_ += after;
    limits_.sample("D", {Bytes::mib(3200), Bytes::mib(free_mib)}, Bytes::mib(held_mib), moves_, now_);
  }
  std::optional<std::uint64_t> available_mib() const {
    const auto available = limits_.available("D");
    return available ? std::optional(available->rounded_mib()) : std::nullopt;
  }

  DeviceLimits limits_;
  TimePoint now_{seconds(1000)};
  std::uint64_t moves_ = 7;
};

TEST_F(DeviceLimitsTest, WhatIsFreeAndWhatModelsHaveIsForModelsButForAMargin) {
  EXPECT_FALSE(available_mib());
  sample(1700);
  EXPECT_EQ(available_mib(), 1600U);
  sample(700, 1000);
  EXPECT_EQ(available_mib(), 1600U) << "models have taken it, and no other program";
  sample(20, 1000);
  EXPECT_EQ(available_mib(), 912U) << "less than models have, and a multiple of 16 MiB";
}

TEST_F(DeviceLimitsTest, ItFallsAtOnceAndRisesOnceTheMemoryStaysFree) {
  sample(2100);
  sample(500);
  EXPECT_EQ(available_mib(), 400U);
  sample(2100);
  EXPECT_EQ(available_mib(), 400U);
  sample(1100, 0, seconds(2));
  EXPECT_EQ(available_mib(), 400U);
  sample(2100, 0, milliseconds(501));
  EXPECT_EQ(available_mib(), 992U) << "the least of the last three seconds";
  sample(2100, 0, seconds(4));
  EXPECT_EQ(available_mib(), 2000U);
}

TEST_F(DeviceLimitsTest, ADriverThatSaysThatAllIsFreeSaysNothing) {
  sample(3200, 1000);
  EXPECT_FALSE(available_mib());
  EXPECT_FALSE(limits_.free("D"));
  EXPECT_TRUE(limits_.is_recent("D", now_));
  sample(3000);
  EXPECT_TRUE(available_mib());
  limits_.forget("D");
  EXPECT_FALSE(available_mib());
  EXPECT_FALSE(limits_.is_recent("D", now_));
}

TEST_F(DeviceLimitsTest, WhatIsFreeNowIsKnownUntilAnEngineMoves) {
  sample(2000);
  EXPECT_EQ(limits_.free_now("D", moves_, now_ + seconds(2)), Bytes::mib(2000));
  EXPECT_FALSE(limits_.free_now("D", moves_, now_ + seconds(3)));
  EXPECT_FALSE(limits_.free_now("D", moves_ + 1, now_));
  EXPECT_FALSE(limits_.free_now("E", moves_, now_));
}

TEST_F(DeviceLimitsTest, TheDriversShareIsWhatIsMissingBeyondTheEnginesAccount) {
  EXPECT_EQ(limits_.share("D"), Bytes());
  const auto learn = [this](std::uint64_t before, std::uint64_t after) {
    limits_.learn_share("D", Bytes::mib(before), Bytes::mib(after), Bytes::mib(500));
  };
  learn(3000, 2200);
  EXPECT_EQ(limits_.share("D"), Bytes::mib(300));
  learn(3000, 2700);  // another program has returned memory
  learn(3000, 2198);
  EXPECT_EQ(limits_.share("D"), Bytes::mib(300));
  learn(9000, 2000);  // another program has taken much
  EXPECT_EQ(limits_.share("D"), Bytes::mib(300));
  EXPECT_EQ(limits_.share("E"), Bytes());
}

}  // namespace
}  // namespace minerva
