#include "minerva/base/clock.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(InWords, IsCutToOneUnit) {
  using namespace std::chrono_literals;
  EXPECT_EQ(in_words(0ms), "0 ms");
  EXPECT_EQ(in_words(999ms), "999 ms");
  EXPECT_EQ(in_words(1s), "1 s");
  EXPECT_EQ(in_words(599'900ms), "599 s");
  EXPECT_EQ(in_words(10min), "10 min");
  EXPECT_EQ(in_words(119min), "119 min");
  EXPECT_EQ(in_words(2h), "2 h");
  EXPECT_EQ(in_words(47h), "47 h");
  EXPECT_EQ(in_words(50h), "2 days");
}

}  // namespace
}  // namespace minerva
