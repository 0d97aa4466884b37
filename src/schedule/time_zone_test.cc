#include "schedule/time_zone.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace minerva {
namespace {

using namespace std::chrono_literals;
using std::chrono::local_days;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

TimeZone zone_named(const std::string& name) {
  auto found = TimeZone::find(name);
  EXPECT_TRUE(found.has_value()) << (found ? "" : found.error().message);
  return found.value_or(TimeZone());
}

TEST(TimeZone, SaysTimesWithTheirOffset) {
  const sys_seconds winter = sys_days(2026y / 1 / 9) + 7h + 5min + 3s;
  const sys_seconds summer = sys_days(2026y / 7 / 1) + 22h;
  EXPECT_EQ(TimeZone().text(winter), "2026-01-09T07:05:03+00:00");
  EXPECT_EQ(zone_named("Europe/Berlin").text(winter), "2026-01-09T08:05:03+01:00");
  EXPECT_EQ(zone_named("Europe/Berlin").text(summer), "2026-07-02T00:00:00+02:00");
  EXPECT_EQ(zone_named("America/St_Johns").text(summer), "2026-07-01T19:30:00-02:30");
  EXPECT_EQ(zone_named("Asia/Kathmandu").text(summer), "2026-07-02T03:45:00+05:45");
}

TEST(TimeZone, KnowsWhatIsSkippedAndWhatComesTwice) {
  const TimeZone berlin = zone_named("Europe/Berlin");
  EXPECT_EQ(berlin.first_instant(local_days(2026y / 3 / 29) + 1h + 59min), sys_days(2026y / 3 / 29) + 59min);
  EXPECT_EQ(berlin.first_instant(local_days(2026y / 3 / 29) + 2h + 30min), sys_days(2026y / 3 / 29) + 1h);
  EXPECT_EQ(berlin.first_instant(local_days(2026y / 3 / 29) + 3h), sys_days(2026y / 3 / 29) + 1h);
  EXPECT_EQ(berlin.first_instant(local_days(2026y / 10 / 25) + 2h + 30min), sys_days(2026y / 10 / 25) + 30min);
  EXPECT_EQ(berlin.first_instant(local_days(2026y / 10 / 25) + 3h), sys_days(2026y / 10 / 25) + 2h);
  const TimeZone::Period summer = berlin.period(sys_days(2026y / 7 / 1));
  EXPECT_EQ(summer.begin, sys_days(2026y / 3 / 29) + 1h);
  EXPECT_EQ(summer.end, sys_days(2026y / 10 / 25) + 1h);
  EXPECT_EQ(summer.offset, 2h);
}

// Some tz databases list only the transitions of long ago. The library would take these for all there are.
TEST(TimeZone, HasFilesWithTheTransitionsOfYearsToCome) {
  EXPECT_EQ(zone_named("Europe/Berlin").text(sys_days(2036y / 7 / 1)), "2036-07-01T02:00:00+02:00");
  EXPECT_EQ(zone_named("Europe/Berlin").text(sys_days(2036y / 12 / 1)), "2036-12-01T01:00:00+01:00");
}

TEST(TimeZone, UtcIsTheDefault) {
  EXPECT_EQ(TimeZone().name(), "UTC");
  EXPECT_EQ(zone_named("UTC"), TimeZone());
  EXPECT_EQ(TimeZone().first_instant(local_days(2026y / 3 / 29) + 2h), sys_days(2026y / 3 / 29) + 2h);
  EXPECT_EQ(zone_named("Europe/Berlin").name(), "Europe/Berlin");
  EXPECT_EQ(zone_named("Europe/Berlin"), zone_named("Europe/Berlin"));
}

TEST(TimeZone, AnUnknownNameIsAnError) {
  for (const char* const name : {"", "Berlin", "europe/berlin", "../../etc/passwd", "/etc/localtime", "CET-1CEST"}) {
    const auto found = TimeZone::find(name);
    ASSERT_FALSE(found.has_value()) << name;
    EXPECT_EQ(found.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(found.error().message.find("Europe/Berlin"), std::string::npos) << found.error().message;
  }
}

TEST(TimeZone, TheMachinesIsThatOfTz) {
  const char* const before = std::getenv("TZ");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TZ", "Asia/Tokyo", 1);
  EXPECT_EQ(TimeZone::of_machine(), zone_named("Asia/Tokyo"));
  ::setenv("TZ", ":America/New_York", 1);
  EXPECT_EQ(TimeZone::of_machine(), zone_named("America/New_York"));
  ::setenv("TZ", "", 1);
  EXPECT_EQ(TimeZone::of_machine(), TimeZone());
  ::setenv("TZ", "CET-1CEST", 1);
  const auto nameless = TimeZone::of_machine();
  ASSERT_FALSE(nameless.has_value());
  EXPECT_NE(nameless.error().message.find("TZ (\"CET-1CEST\")"), std::string::npos) << nameless.error().message;
  ::unsetenv("TZ");
  EXPECT_TRUE(TimeZone::of_machine().has_value());
  if (before != nullptr) ::setenv("TZ", kept.c_str(), 1);
}

}  // namespace
}  // namespace minerva
