#include "cachesim/turns.h"

#include <gtest/gtest.h>

namespace minerva::cachesim {
namespace {

using std::chrono::seconds;

TEST(Turns, AnybodyWaitsForAllTheOthersTurnsAtMost) {
  TurnsOptions options;
  options.models = {2, 10};
  options.switches = {seconds(1)};
  options.residencies = {seconds(2), seconds(10)};
  options.requests = 2'000;
  for (const TurnsRow& row : measure_turns(options)) {
    // One turn: the residency, the last request that began in it, and the switch.
    const double turn = std::chrono::duration<double>(row.residency + options.service + row.switch_takes).count();
    EXPECT_LE(row.longest_wait_s, static_cast<double>(row.models) * turn) << row.models;
    EXPECT_GT(row.longest_wait_s, turn / 2) << "and everybody is asked all the time";
  }
}

TEST(Turns, ALongerResidencySwitchesLess) {
  TurnsOptions options;
  options.models = {2};
  options.switches = {seconds(1)};
  options.residencies = {seconds(0), seconds(2), seconds(10)};
  options.requests = 2'000;
  const auto rows = measure_turns(options);
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_GT(rows[0].switches_per_s, rows[1].switches_per_s);
  EXPECT_GT(rows[1].switches_per_s, 2 * rows[2].switches_per_s);
  EXPECT_LT(rows[2].switches_per_s, 1.0 / 8);
}

}  // namespace
}  // namespace minerva::cachesim
