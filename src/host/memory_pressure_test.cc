// Scripts of samples, on a clock of the test's own.
#include "host/memory_pressure.h"

#include <gtest/gtest.h>

#include <vector>

namespace minerva {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

io::MemoryLevel level(const char* name, Bytes limit, std::optional<Bytes> available,
                      std::optional<Duration> stalled = std::nullopt) {
  return {name, limit, available, stalled};
}

class MemoryPressureTest : public testing::Test {
 protected:
  // Takes one sample, `after` the one before.
  std::optional<MemoryPressure::News> sample(std::vector<io::MemoryLevel> levels, Duration after = milliseconds(100)) {
    now_ += after;
    return pressure_.sample({std::move(levels)}, now_);
  }
  // Samples a machine that has `mib` left of 16 GiB. Its mark is 1 GiB, and 1.5 GiB end a shortage.
  std::optional<MemoryPressure::News> left(std::uint64_t mib, Duration after = milliseconds(100)) {
    return sample({level("the machine", Bytes::gib(16), Bytes::mib(mib))}, after);
  }
  // Samples the same amount until there is news or `time` is over.
  std::optional<MemoryPressure::News> stays(std::uint64_t mib, Duration time) {
    for (Duration passed{}; passed < time; passed += milliseconds(100)) {
      if (auto news = left(mib)) return news;
    }
    return std::nullopt;
  }

  MemoryPressure pressure_{std::nullopt};
  TimePoint now_{seconds(1000)};
};

TEST_F(MemoryPressureTest, BeginsBelowTheMarkAndSaysWhatIsMissing) {
  EXPECT_FALSE(left(8000));
  EXPECT_FALSE(stays(1024, seconds(10))) << "the mark itself";
  EXPECT_FALSE(pressure_.under_pressure());
  EXPECT_EQ(pressure_.short_by(), Bytes(0));

  const auto news = left(1000, seconds(60));  // so slow that the pace predicts nothing
  ASSERT_TRUE(news.has_value());
  EXPECT_TRUE(news->event.under_pressure);
  EXPECT_EQ(news->event.short_by.rounded_mib(), 1536U - 1000);
  EXPECT_EQ(news->why, "1000 MiB of the machine's 16 GiB are left, and 1 GiB are to stay free");
  EXPECT_TRUE(pressure_.under_pressure());
  EXPECT_EQ(pressure_.shortages(), 1U);
}

TEST_F(MemoryPressureTest, IsToldAgainWhileItLastsWithWhatIsMissingThen) {
  left(1000);
  EXPECT_FALSE(left(1000, milliseconds(20))) << "too early";
  auto news = left(1000, milliseconds(80));
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->event.short_by, Bytes::mib(536));
  EXPECT_EQ(news->why, "");
  news = left(1530);
  ASSERT_TRUE(news.has_value()) << "above the mark, but that is not enough";
  EXPECT_TRUE(news->event.under_pressure);
  EXPECT_EQ(news->event.short_by, Bytes::mib(16)) << "no trifles";
  EXPECT_EQ(pressure_.shortages(), 1U);
}

TEST_F(MemoryPressureTest, EndsWhenEnoughWasLeftForSeconds) {
  left(1000);
  EXPECT_FALSE(stays(1536, milliseconds(2900)));
  EXPECT_TRUE(pressure_.under_pressure());
  EXPECT_EQ(pressure_.short_by(), Bytes(0));
  const auto news = left(1536);
  ASSERT_TRUE(news.has_value());
  EXPECT_FALSE(news->event.under_pressure);
  EXPECT_EQ(news->event.short_by, Bytes(0));
  EXPECT_FALSE(pressure_.under_pressure());
  EXPECT_FALSE(stays(1025, seconds(10))) << "above the mark at which it begins";
}

TEST_F(MemoryPressureTest, DoesNotFlapAroundEitherMark) {
  int begun = 0;
  int ended = 0;
  for (const auto& [below, above] : {std::pair(1000, 1100), std::pair(1500, 1600)}) {
    for (int i = 0; i < 1000; ++i) {
      if (const auto news = left(i % 20 < 10 ? below : above)) {
        begun += news->why.empty() ? 0 : 1;
        ended += news->event.under_pressure ? 0 : 1;
      }
    }
  }
  EXPECT_EQ(begun, 1);
  EXPECT_EQ(ended, 0) << "it never was calm for so long";
}

TEST_F(MemoryPressureTest, AsksForWhatWillBeTakenBeforeItCanBeFree) {
  // Memory goes at a gigabyte a second.
  for (std::uint64_t mib = 3000; mib > 1050; mib -= 100) EXPECT_FALSE(left(mib)) << mib;
  const auto news = left(1000);
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->event.short_by.rounded_mib(), 536U + 500);
  // It stopped going: after a moment only what is missing counts.
  left(1000);
  left(1000);
  EXPECT_EQ(left(1000)->event.short_by, Bytes::mib(536));
}

TEST_F(MemoryPressureTest, WhatComesBackIsNoPace) {
  left(500);
  const auto news = left(1000);
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->event.short_by, Bytes::mib(536));
}

TEST_F(MemoryPressureTest, WhatIsTakenInOneGoIsNoPaceForLong) {
  left(8000);
  const auto news = left(1000, milliseconds(1));
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->event.short_by, Bytes::mib(536) + Bytes::gib(4)) << "a quarter of the machine's";
}

TEST_F(MemoryPressureTest, SamplesComeSoonerWhenTheMarkIsNear) {
  left(8000);
  EXPECT_EQ(pressure_.next_in(), milliseconds(100));
  left(8000);
  left(7000);  // 5 GiB a second, with 6 GiB left above the mark
  EXPECT_EQ(pressure_.next_in(), milliseconds(100));
  left(1300);
  EXPECT_EQ(pressure_.next_in(), milliseconds(20));
  left(1300);
  left(1300);
  left(1300);
  EXPECT_EQ(pressure_.next_in(), milliseconds(100)) << "nothing is taken";
  left(1200);
  EXPECT_GT(pressure_.next_in(), milliseconds(20));
  left(900);
  EXPECT_EQ(pressure_.next_in(), milliseconds(20)) << "below it, and falling";
}

TEST_F(MemoryPressureTest, EachLevelHasItsMarkAndTheWorstCounts) {
  const auto levels = [](std::uint64_t machine, std::uint64_t outer, std::uint64_t inner) {
    return std::vector{level("the machine", Bytes::gib(16), Bytes::mib(machine)),
                       level("the cgroup /a/b", Bytes::mib(1600), Bytes::mib(inner)),
                       level("the cgroup /a", Bytes::mib(3200), Bytes::mib(outer))};
  };
  EXPECT_FALSE(sample(levels(9000, 200, 100)));
  auto news = sample(levels(9000, 200, 99), seconds(60));
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->event.short_by.rounded_mib(), 300U - 200) << "the outer one is below its upper mark by more";
  EXPECT_NE(news->why.find("the cgroup /a/b's 1.6 GiB"), std::string::npos) << news->why;
  news = sample(levels(9000, 300, 99), seconds(60));
  EXPECT_EQ(news->event.short_by.rounded_mib(), 150U - 99);
  // The shortage ends only when every level is calm.
  EXPECT_TRUE(sample(levels(9000, 299, 200)));
  EXPECT_FALSE(sample(levels(9000, 300, 150), milliseconds(2900)));
  EXPECT_TRUE(sample(levels(1530, 300, 150))) << "the machine is not";
  EXPECT_FALSE(sample(levels(1536, 300, 150), milliseconds(2900)));
  news = sample(levels(1536, 300, 150));
  ASSERT_TRUE(news.has_value());
  EXPECT_FALSE(news->event.under_pressure);
}

class Stalls : public MemoryPressureTest {
 protected:
  // Samples for `time` with `mib` left while processes stall for `percent` of the time. Returns the first news.
  std::optional<MemoryPressure::News> stalls(std::uint64_t mib, int percent, Duration time) {
    std::optional<MemoryPressure::News> first;
    for (Duration passed{}; passed < time; passed += milliseconds(100)) {
      stalled_ += milliseconds(percent);
      auto news = sample({level("the machine", Bytes::gib(16), Bytes::mib(mib), stalled_)});
      if (news && !first) first = std::move(news);
    }
    return first;
  }
  Duration stalled_{seconds(77)};
};

TEST_F(Stalls, CountWithLittleLeftOnly) {
  EXPECT_FALSE(stalls(2048, 90, seconds(10)));
  EXPECT_FALSE(stalls(2048, 9, seconds(2)));
  EXPECT_FALSE(stalls(2047, 9, seconds(10))) << "a few";
  const auto news = stalls(2047, 11, seconds(3));
  ASSERT_TRUE(news.has_value());
  EXPECT_TRUE(news->event.under_pressure);
  EXPECT_EQ(news->event.short_by, Bytes::mib(16)) << "how much is unknown";
  EXPECT_NE(news->why.find("for want of memory for 11 % of the last second"), std::string::npos) << news->why;
}

TEST_F(Stalls, KeepItFromEnding) {
  stalls(2000, 50, seconds(3));
  ASSERT_TRUE(pressure_.under_pressure());
  const auto news = stalls(2000, 50, seconds(10));
  ASSERT_TRUE(news.has_value());
  EXPECT_TRUE(news->event.under_pressure);
  EXPECT_TRUE(pressure_.under_pressure());
  stalls(2000, 0, seconds(5));
  EXPECT_FALSE(pressure_.under_pressure());
  EXPECT_EQ(pressure_.shortages(), 1U);
}

TEST_F(Stalls, BeforeTheFirstSampleAreNone) {
  EXPECT_FALSE(sample({level("the machine", Bytes::gib(16), Bytes::mib(2000), seconds(1'000'000))}));
  EXPECT_FALSE(sample({level("the machine", Bytes::gib(16), Bytes::mib(2000), seconds(1'000'000))}, seconds(2)));
}

TEST_F(MemoryPressureTest, WhatIsUnknownIsNoShortage) {
  EXPECT_FALSE(sample({}));
  EXPECT_FALSE(sample({level("the machine", Bytes::gib(16), std::nullopt, seconds(1))}));
  EXPECT_FALSE(sample({level("the machine", Bytes::gib(16), std::nullopt, seconds(9))}, seconds(8)));
  // The level can no longer be read: the shortage ends after a while.
  EXPECT_TRUE(left(100));
  EXPECT_FALSE(sample({}, milliseconds(2900)));
  EXPECT_FALSE(sample({})->event.under_pressure);
}

TEST_F(MemoryPressureTest, AMarkOfOnesOwn) {
  pressure_.set_min_free(Bytes::gib(4));
  const auto news = left(4000);
  ASSERT_TRUE(news.has_value());
  EXPECT_EQ(news->event.short_by, Bytes::mib(6144 - 4000));
  pressure_.set_min_free(Bytes::gib(2));
  EXPECT_FALSE(stays(4000, milliseconds(2900)));
  EXPECT_FALSE(left(4000)->event.under_pressure);

  EXPECT_TRUE(left(1));
  pressure_.set_min_free(Bytes(0));
  const auto off = left(1);
  ASSERT_TRUE(off.has_value());
  EXPECT_FALSE(off->event.under_pressure) << "at once: nothing is to stay free";
  EXPECT_FALSE(stays(0, seconds(10)));
}

}  // namespace
}  // namespace minerva
