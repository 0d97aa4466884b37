#include "server/samples.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(Samples, OnlyTheLastHourIsKept) {
  io::Loop loop;
  std::size_t taken = 0;
  Samples samples(loop, [&] {
    api::Sample sample;
    sample.waiting = ++taken;
    return sample;
  });
  EXPECT_TRUE(samples.all().empty());
  samples.start();
  EXPECT_EQ(samples.all().size(), 1U);
  for (std::size_t i = 0; i < Samples::kKept; ++i) samples.look();
  ASSERT_EQ(samples.all().size(), Samples::kKept);
  EXPECT_EQ(samples.all().front().waiting, 2U);
  EXPECT_EQ(samples.all().back().waiting, Samples::kKept + 1);
  EXPECT_EQ(Samples::kKept * Samples::kInterval, std::chrono::hours(1));
}

}  // namespace
}  // namespace minerva
