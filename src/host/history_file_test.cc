#include "host/history_file.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Moment kMade{TimePoint(hours(5)), std::chrono::system_clock::time_point(hours(500'000))};

History sample() {
  History history{.stats = {.hits = 145, .misses = 8, .evictions = 2, .preloads = 1}};
  history.policy = "hazard";
  history.learned = Learned{TimePoint(), {1, 2.5}};
  history.load_time_of_any = milliseconds(250);
  ModelHistory model{.id = "a"};
  model.resident.emplace().id = "a";
  model.resident->access_count = 17;
  model.resident->insert_tick = 3;
  model.resident->last_use_tick = 9;
  model.resident->inserted = TimePoint(hours(1));
  model.resident->last_used = TimePoint(hours(4));
  model.pinned = true;
  model.load_time = seconds(3);
  model.wake_time = milliseconds(80);
  model.service_time = milliseconds(900);
  model.learned = Learned{TimePoint(hours(4)), {0.25, 1e-9}};
  history.models = {model, {.id = "b", .pinned = false}};
  return history;
}

Moment later(Duration monotonic, Duration wall) {
  return {TimePoint(monotonic), kMade.wall + std::chrono::duration_cast<std::chrono::system_clock::duration>(wall)};
}

TEST(HistoryFile, EverythingComesBackOnTheSameClock) {
  const auto read = parse_history(history_text(sample(), kMade), kMade);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, sample());
}

TEST(HistoryFile, TheTimeInBetweenPassesByTheWallClock) {
  // The machine was started again three hours later: its steady clock began anew.
  const auto read = parse_history(history_text(sample(), kMade), later(seconds(10), hours(3)));
  ASSERT_TRUE(read) << read.error().message;
  const TimePoint now(seconds(10));
  EXPECT_EQ(now - read->models[0].resident->last_used, hours(4));
  EXPECT_EQ(now - read->models[0].resident->inserted, hours(7));
  EXPECT_EQ(now - read->models[0].learned->when, hours(4));
}

TEST(HistoryFile, NoTimePassesWhileTheWallClockIsSetBack) {
  const auto read = parse_history(history_text(sample(), kMade), later(seconds(10), -hours(1000)));
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(TimePoint(seconds(10)) - read->models[0].resident->last_used, hours(1));
}

TEST(HistoryFile, AClockThatWasFarOffOverflowsNothing) {
  const Moment centuries{kMade.now, std::chrono::system_clock::time_point::max()};
  const auto read = parse_history(history_text(sample(), kMade), centuries);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_GT(kMade.now - read->models[0].learned->when, hours(24 * 365));
  EXPECT_LT(read->models[0].learned->when, kMade.now);
}

TEST(HistoryFile, WhatMakesNoSenseIsDamage) {
  const std::string good = history_text(sample(), kMade);
  const std::vector<std::pair<std::string, std::string>> damages = {{"\"hits\":145", "\"hits\":-1"},
                                                                    {"\"hits\":145", "\"hits\":1e30"},
                                                                    {"\"misses\":8", "\"misses\":18446744073709551615"},
                                                                    {"\"id\":\"a\"", "\"id\":\"../a\""},
                                                                    {"\"id\":\"a\"", "\"id\":\"b\""},
                                                                    {"\"id\":\"a\"", "\"id\":7"},
                                                                    {"\"insert_tick\":3", "\"insert_tick\":0"},
                                                                    {"\"pinned\":true", "\"pinned\":\"yes\""},
                                                                    {"\"load_ms\":3000.0", "\"load_ms\":-3000.0"},
                                                                    {"\"load_ms\":3000.0", "\"load_ms\":1e300"},
                                                                    {"[0.25,", "[-0.25,"},
                                                                    {"[0.25,", "[1e99,"},
                                                                    {"[0.25,", "[null,"},
                                                                    {"\"policy\":\"hazard\"", "\"policy\":1"},
                                                                    {"\"made_unix_ms\":", "\"made\":"},
                                                                    {good, ""},
                                                                    {good, "[]"},
                                                                    {good, good.substr(0, good.size() / 2)}};
  for (const auto& [from, to] : damages) {
    std::string text = good;
    const auto at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    EXPECT_FALSE(parse_history(text, kMade)) << text;
  }
}

}  // namespace
}  // namespace minerva
