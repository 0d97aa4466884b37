#include "api/event_log.h"

#include <gtest/gtest.h>

#include <string>

namespace minerva::api {
namespace {

constexpr std::size_t kPlenty = 1 << 20;

std::string event(int id) { return "id: " + std::to_string(id) + "\nevent: state\ndata: {}\n\n"; }

std::string gap(std::uint64_t seen, std::uint64_t next) {
  return "id: " + std::to_string(next - 1) + "\nevent: gap\ndata: {\"last_event_id\":" + std::to_string(seen) +
         ",\"resumes_at\":" + std::to_string(next) + "}\n\n";
}

TEST(EventLog, EachReaderGoesOnWhereItWas) {
  EventLog log(100);
  std::uint64_t early = log.last_id();
  EXPECT_EQ(log.read(early, kPlenty), "");
  log.append("state", "{}");
  std::uint64_t late = log.last_id();
  log.append("state", "{}");
  EXPECT_EQ(log.read(early, kPlenty), event(101) + event(102));
  EXPECT_EQ(log.read(late, kPlenty), event(102));
  EXPECT_EQ(early, 102U);
  EXPECT_EQ(late, 102U);
  EXPECT_EQ(log.read(early, kPlenty), "");
}

TEST(EventLog, AReadIsBoundedAndMakesProgress) {
  EventLog log(0);
  for (int i = 0; i < 3; ++i) log.append("state", "{}");
  std::uint64_t cursor = 0;
  EXPECT_EQ(log.read(cursor, 2 * event(1).size()), event(1) + event(2));
  EXPECT_EQ(log.read(cursor, 1), event(3)) << "one at least";
  EXPECT_EQ(cursor, 3U);
}

TEST(EventLog, WhoIsTooSlowIsToldWhatItLost) {
  EventLog log(0);
  const int most = static_cast<int>(EventLog::kMostEvents);
  for (int i = 0; i < most; ++i) log.append("state", "{}");
  std::uint64_t cursor = 0;
  EXPECT_EQ(log.read(cursor, 1), event(1)) << "nothing is lost yet";
  for (int i = 0; i < 3; ++i) log.append("state", "{}");
  // The reader saw 1; 2 and 3 are gone.
  EXPECT_EQ(log.read(cursor, 1), gap(1, 4));
  EXPECT_EQ(log.read(cursor, 1), event(4)) << "it is said once";
  // A client that loses the connection right after the gap does not hear of the gap again.
  cursor = 3;
  EXPECT_EQ(log.read(cursor, 1), event(4));
}

TEST(EventLog, IdsOfAnotherLifeAreAGap) {
  EventLog log(1000);
  std::uint64_t cursor = 7;
  EXPECT_EQ(log.read(cursor, kPlenty), gap(7, 1001)) << "also while nothing has happened";
  EXPECT_EQ(log.read(cursor, kPlenty), "");
  log.append("state", "{}");
  EXPECT_EQ(log.read(cursor, kPlenty), event(1001));
  cursor = 2000;  // a number that no event had
  EXPECT_EQ(log.read(cursor, kPlenty), gap(2000, 1001) + event(1001));
  cursor = UINT64_MAX;
  EXPECT_EQ(log.read(cursor, kPlenty), gap(UINT64_MAX, 1001) + event(1001));
}

TEST(EventLog, LargeEventsAreBoundedInBytes) {
  EventLog log(0);
  const std::string data(EventLog::kMostBytes / 4, 'x');
  for (int i = 0; i < 10; ++i) log.append("state", data);
  std::uint64_t cursor = 0;
  std::string all;
  for (std::string text = log.read(cursor, 1); !text.empty(); text = log.read(cursor, 1)) all += text;
  EXPECT_TRUE(all.starts_with(gap(0, 8))) << all.substr(0, 200);
  EXPECT_LE(all.size(), EventLog::kMostBytes + 200);
  // Even one that is too large by itself is told.
  log.append("state", std::string(2 * EventLog::kMostBytes, 'x'));
  EXPECT_GT(log.read(cursor, 1).size(), EventLog::kMostBytes);
}

}  // namespace
}  // namespace minerva::api
