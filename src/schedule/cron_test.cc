#include "schedule/cron.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <set>
#include <vector>

namespace minerva {
namespace {

using namespace std::chrono_literals;
using std::chrono::floor;
using std::chrono::local_days;
using std::chrono::local_seconds;
using std::chrono::minutes;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

CronSchedule cron(std::string_view text) {
  auto parsed = CronSchedule::parse(text);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  return *parsed;
}

TimeZone zone(const std::string& name) { return TimeZone::find(name).value(); }

// The next `count` times after `after`, as clocks in that zone show them.
std::vector<std::string> times(std::string_view text, const std::string& zone_name, sys_seconds after,
                               std::size_t count) {
  const CronSchedule schedule = cron(text);
  const TimeZone where = zone(zone_name);
  std::vector<std::string> result;
  for (; result.size() < count; result.push_back(where.text(after))) after = schedule.next(after, where);
  return result;
}

struct Case {
  std::string text;
  std::string zone;
  sys_seconds after;
  std::vector<std::string> expected;
};

void expect(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    EXPECT_EQ(times(c.text, c.zone, c.after, c.expected.size()), c.expected) << c.text << " in " << c.zone;
  }
}

TEST(Cron, ComesAtTheTimesThatAreWritten) {
  const sys_seconds friday = sys_days(2026y / 1 / 30);
  expect({
      {"0 8 * * mon-fri", "UTC", friday, {"2026-01-30T08:00:00+00:00", "2026-02-02T08:00:00+00:00"}},
      {"0 8 * * MON-Fri", "UTC", friday + 8h, {"2026-02-02T08:00:00+00:00"}},
      {"*/20 9 * * *",
       "UTC",
       friday,
       {"2026-01-30T09:00:00+00:00", "2026-01-30T09:20:00+00:00", "2026-01-30T09:40:00+00:00",
        "2026-01-31T09:00:00+00:00"}},
      {"1-30/10 0 * * *",
       "UTC",
       friday,
       {"2026-01-30T00:01:00+00:00", "2026-01-30T00:11:00+00:00", "2026-01-30T00:21:00+00:00",
        "2026-01-31T00:01:00+00:00"}},
      {"5,3,50-52 7 * * *",
       "UTC",
       friday,
       {"2026-01-30T07:03:00+00:00", "2026-01-30T07:05:00+00:00", "2026-01-30T07:50:00+00:00",
        "2026-01-30T07:51:00+00:00"}},
      {"0 0 * * 7", "UTC", friday, {"2026-02-01T00:00:00+00:00", "2026-02-08T00:00:00+00:00"}},
      {"0 0 * * 0", "UTC", friday, {"2026-02-01T00:00:00+00:00"}},
      {"0 0 * * sat-sun",
       "UTC",
       friday,
       {"2026-01-31T00:00:00+00:00", "2026-02-01T00:00:00+00:00", "2026-02-07T00:00:00+00:00"}},
      {"0 0 * * 5-7",
       "UTC",
       friday,
       {"2026-01-31T00:00:00+00:00", "2026-02-01T00:00:00+00:00", "2026-02-06T00:00:00+00:00"}},
      {"0 0 1 jan,jul *", "UTC", friday, {"2026-07-01T00:00:00+00:00", "2027-01-01T00:00:00+00:00"}},
      {" \t30   6 * *  * ", "UTC", friday, {"2026-01-30T06:30:00+00:00"}},
      {"59 23 31 12 *", "UTC", friday, {"2026-12-31T23:59:00+00:00", "2027-12-31T23:59:00+00:00"}},
      {"@hourly", "UTC", friday + 90min, {"2026-01-30T02:00:00+00:00"}},
      {"@daily", "UTC", friday, {"2026-01-31T00:00:00+00:00"}},
      {"@Weekly", "UTC", friday, {"2026-02-01T00:00:00+00:00"}},
      {"@monthly", "UTC", friday, {"2026-02-01T00:00:00+00:00"}},
      {"0 8 * * *", "Asia/Kathmandu", friday, {"2026-01-30T08:00:00+05:45"}},
      {"15 * * * *", "Asia/Kathmandu", friday, {"2026-01-30T06:15:00+05:45", "2026-01-30T07:15:00+05:45"}},
  });
}

TEST(Cron, ComesStrictlyAfter) {
  const CronSchedule schedule = cron("0 8 * * *");
  const sys_seconds at = sys_days(2026y / 1 / 30) + 8h;
  EXPECT_EQ(schedule.next(at - 1s, TimeZone()), at);
  EXPECT_EQ(schedule.next(at, TimeZone()), at + 24h);
  EXPECT_EQ(schedule.next(at + 1s, TimeZone()), at + 24h);
  EXPECT_EQ(cron("* * * * *").next(at - 59s, TimeZone()), at);
}

TEST(Cron, KnowsTheCalendar) {
  expect({
      {"0 0 29 2 *", "UTC", sys_days(2026y / 1 / 1), {"2028-02-29T00:00:00+00:00", "2032-02-29T00:00:00+00:00"}},
      {"0 0 29 feb *", "UTC", sys_days(2096y / 3 / 1), {"2104-02-29T00:00:00+00:00"}},
      {"0 0 31 * *",
       "UTC",
       sys_days(2026y / 1 / 31),
       {"2026-03-31T00:00:00+00:00", "2026-05-31T00:00:00+00:00", "2026-07-31T00:00:00+00:00",
        "2026-08-31T00:00:00+00:00"}},
      {"0 0 30 * *", "UTC", sys_days(2026y / 1 / 31), {"2026-03-30T00:00:00+00:00", "2026-04-30T00:00:00+00:00"}},
      {"59 23 * 2 *", "UTC", sys_days(2026y / 2 / 28), {"2026-02-28T23:59:00+00:00", "2027-02-01T23:59:00+00:00"}},
      // A Sunday that is 29 February comes every 28 years, except around a century.
      {"0 0 29 2 */7", "UTC", sys_days(2088y / 3 / 1), {"2128-02-29T00:00:00+00:00"}},
  });
}

TEST(Cron, OneOfBothDaysIsEnoughWhereBothAreRestricted) {
  const sys_seconds begin = sys_days(2026y / 1 / 31);
  expect({
      {"0 0 13 * fri",
       "UTC",
       begin,
       {"2026-02-06T00:00:00+00:00", "2026-02-13T00:00:00+00:00", "2026-02-20T00:00:00+00:00",
        "2026-02-27T00:00:00+00:00", "2026-03-06T00:00:00+00:00"}},
      {"0 0 3 * tue", "UTC", begin, {"2026-02-03T00:00:00+00:00", "2026-02-10T00:00:00+00:00"}},
      // The month has no such day, but it has days of the week.
      {"0 0 31 2 mon", "UTC", begin, {"2026-02-02T00:00:00+00:00"}},
      // If one of the two fields begins with `*`, both must fit.
      {"0 0 */2 * mon", "UTC", begin, {"2026-02-09T00:00:00+00:00", "2026-02-23T00:00:00+00:00"}},
      {"0 0 1 * */2",
       "UTC",
       begin,
       {"2026-02-01T00:00:00+00:00", "2026-03-01T00:00:00+00:00", "2026-08-01T00:00:00+00:00"}},
  });
}

TEST(Cron, OnceADayAlsoWhenClocksAreSet) {
  expect({
      // Clocks go forward from 2 to 3.
      {"30 2 * * *",
       "Europe/Berlin",
       sys_days(2026y / 3 / 28),
       {"2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"}},
      {"0,30 2,3 * * *",
       "Europe/Berlin",
       sys_days(2026y / 3 / 28) + 20h,
       {"2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00", "2026-03-30T02:00:00+02:00"}},
      {"30 2 * * *",
       "America/New_York",
       sys_days(2026y / 3 / 7) + 12h,
       {"2026-03-08T03:00:00-04:00", "2026-03-09T02:30:00-04:00"}},
      {"15 2 * * *",
       "Australia/Lord_Howe",
       sys_days(2026y / 10 / 2) + 20h,
       {"2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"}},
      // Clocks go back from 3 to 2, from 2 to 1, and from 2 to half past 1.
      {"30 2 * * *",
       "Europe/Berlin",
       sys_days(2026y / 10 / 24) + 12h,
       {"2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"}},
      {"30 1 * * *",
       "America/New_York",
       sys_days(2026y / 10 / 31) + 12h,
       {"2026-11-01T01:30:00-04:00", "2026-11-02T01:30:00-05:00"}},
      {"45 1 * * *",
       "Australia/Lord_Howe",
       sys_days(2026y / 4 / 4),
       {"2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"}},
      {"0 3 * * *", "Europe/Berlin", sys_days(2026y / 10 / 24) + 12h, {"2026-10-25T03:00:00+01:00"}},
      // The question comes while clocks show the time for the second time.
      {"30 2 * * *", "Europe/Berlin", sys_days(2026y / 10 / 25) + 1h + 15min, {"2026-10-26T02:30:00+01:00"}},
      {"0 4 * * *", "Europe/Berlin", sys_days(2026y / 10 / 25) + 1h + 15min, {"2026-10-25T04:00:00+01:00"}},
      // A day that the zone left out.
      {"0 12 * * *",
       "Pacific/Apia",
       sys_days(2011y / 12 / 29),
       {"2011-12-29T12:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T12:00:00+14:00"}},
  });
}

TEST(Cron, EveryHourAlsoWhenClocksAreSet) {
  expect({
      {"30 * * * *",
       "Europe/Berlin",
       sys_days(2026y / 3 / 29),
       {"2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00", "2026-03-29T04:30:00+02:00"}},
      {"30 * * * *",
       "Europe/Berlin",
       sys_days(2026y / 10 / 25) - 1h,
       {"2026-10-25T01:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00",
        "2026-10-25T03:30:00+01:00"}},
      {"0 0-23 * * *",
       "America/New_York",
       sys_days(2026y / 11 / 1) + 4h + 30min,
       {"2026-11-01T01:00:00-04:00", "2026-11-01T01:00:00-05:00", "2026-11-01T02:00:00-05:00"}},
      {"*/15 * * * *",
       "Australia/Lord_Howe",
       sys_days(2026y / 4 / 4) + 14h + 30min,
       {"2026-04-05T01:45:00+11:00", "2026-04-05T01:30:00+10:30", "2026-04-05T01:45:00+10:30"}},
  });
}

TEST(Cron, AMistakeIsSaidWithItsField) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "\"\" has 0 fields; a schedule has five"},
      {"8", "\"8\" has 1 field; "},
      {"0 8 * *", "has 4 fields; "},
      {"0 8 * * * *", "has 6 fields; "},
      {"@reboot", "\"@reboot\" is not one of @hourly, @daily, @weekly, @monthly"},
      {"@daily 5", "has 2 fields; "},
      {"60 8 * * *", "minute: \"60\" is none; 0 to 59 is allowed"},
      {"-1 8 * * *", "minute: a value is missing; 0 to 59 is allowed"},
      {"x 8 * * *", "minute: \"x\" is none"},
      {"1.5 8 * * *", "minute: \"1.5\" is none"},
      {"99999999999999999999 8 * * *", "minute: \"99999999999999999999\" is none"},
      {"1, 8 * * *", "minute: a value is missing"},
      {"5- 8 * * *", "minute: a value is missing"},
      {"*5 8 * * *", "minute: \"*5\" is none"},
      {"0 24 * * *", "hour: \"24\" is none; 0 to 23 is allowed"},
      {"0 8-6 * * *", "hour: the range \"8-6\" ends before it begins"},
      {"0 1-2-3 * * *", "hour: \"2-3\" is none"},
      {"0 8 0 * *", "day of the month: \"0\" is none; 1 to 31 is allowed"},
      {"0 8 32 * *", "day of the month: \"32\" is none"},
      {"0 8 L * *", "day of the month: \"L\" is none"},
      {"0 8 ? * *", "day of the month: \"?\" is none"},
      {"0 8 * 13 *", "month: \"13\" is none; 1 to 12 or jan to dec is allowed"},
      {"0 8 * january *", "month: \"january\" is none"},
      {"0 8 * mon *", "month: \"mon\" is none"},
      {"0 8 * * 8", "day of the week: \"8\" is none; 0 to 7 or sun to sat is allowed"},
      {"0 8 * * fri-mon", "day of the week: the range \"fri-mon\" ends before it begins"},
      {"*/0 * * * *", "minute: \"0\" is no step; 1 to 59 is allowed"},
      {"*/60 * * * *", "minute: \"60\" is no step"},
      {"*/ * * * *", "minute: \"\" is no step"},
      {"*/x * * * *", "minute: \"x\" is no step"},
      {"*/2/3 * * * *", "minute: \"2/3\" is no step"},
      {"0 */24 * * *", "hour: \"24\" is no step; 1 to 23 is allowed"},
      {"5/15 * * * *", "minute: \"5/15\" has a step without a range; write \"5-59/15\""},
      {"0 0 31 2 *", "day of the month: no month of \"2\" has a day \"31\""},
      {"0 0 30,31 feb *", "day of the month: no month of \"feb\""},
      {"0 0 31 4,jun,9,11 *", "day of the month: no month of"},
      {"0 0 30 2 */2", "day of the month: no month of"},
      {std::string(300, '*'), "a schedule has 256 characters at most"},
  };
  for (const auto& [text, words] : cases) {
    const auto parsed = CronSchedule::parse(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument) << text;
    EXPECT_NE(parsed.error().message.find(words), std::string::npos) << text << "\n" << parsed.error().message;
  }
}

TEST(Cron, IsWhatWasWritten) {
  EXPECT_EQ(cron("0 8 * * mon-fri").text(), "0 8 * * mon-fri");
  EXPECT_EQ(cron("@daily"), cron("@daily"));
  EXPECT_NE(cron("0 8 * * *"), cron("0 9 * * *"));
}

// ---- against a walk over every minute of two years ----

// A random expression, with what it means.
struct Drawn {
  std::string text;
  std::array<std::set<unsigned>, 5> sets;
  bool either_day = false;
  bool every_hour = false;

  bool shows(local_seconds local) const {
    const auto day = floor<std::chrono::days>(local);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss time(local - day);
    const auto has = [this](std::size_t field, unsigned value) { return sets[field].contains(value); };
    if (!has(0, static_cast<unsigned>(time.minutes().count()))) return false;
    if (!has(1, static_cast<unsigned>(time.hours().count()))) return false;
    if (!has(3, static_cast<unsigned>(date.month()))) return false;
    const bool of_month = has(2, static_cast<unsigned>(date.day()));
    const bool of_week = has(4, std::chrono::weekday(day).c_encoding());
    return either_day ? of_month || of_week : of_month && of_week;
  }
};

class Drawer {
 public:
  explicit Drawer(unsigned seed) : random_(seed) {}

  Drawn draw() {
    static constexpr std::array<std::pair<unsigned, unsigned>, 5> kRanges = {
        {{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 6}}};
    Drawn drawn;
    std::vector<std::string> fields;
    for (std::size_t i = 0; i < kRanges.size(); ++i) {
      fields.push_back(field(kRanges[i].first, kRanges[i].second, drawn.sets[i]));
    }
    drawn.text = fmt::format("{}", fmt::join(fields, " "));
    drawn.either_day = fields[2][0] != '*' && fields[4][0] != '*';
    drawn.every_hour = drawn.sets[1].size() == 24;
    return drawn;
  }

 private:
  unsigned upto(unsigned least, unsigned most) { return std::uniform_int_distribution<unsigned>(least, most)(random_); }

  std::string field(unsigned least, unsigned most, std::set<unsigned>& set) {
    std::vector<std::string> items;
    for (unsigned count = upto(1, 3); count > 0; --count) {
      unsigned first = least;
      unsigned last = most;
      std::string text = "*";
      const unsigned kind = upto(0, 3);
      if (kind > 1) {
        first = upto(least, most);
        last = kind == 2 ? first : upto(first, most);
        text = kind == 2 ? fmt::to_string(first) : fmt::format("{}-{}", first, last);
      }
      unsigned step = 1;
      if (kind == 1 || (kind == 3 && upto(0, 1) == 1)) {
        step = upto(1, most - least);
        text += fmt::format("/{}", step);
      }
      for (unsigned value = first; value <= last; value += step) set.insert(value);
      items.push_back(text);
    }
    return fmt::format("{}", fmt::join(items, ","));
  }

  std::mt19937 random_;
};

TEST(Cron, AgreesWithAWalkOverEveryMinute) {
  constexpr sys_seconds kBegin = sys_days(2027y / 1 / 1);
  constexpr sys_seconds kEnd = sys_days(2029y / 1 / 1);  // with a leap day
  Drawer drawer(7);
  for (const char* const name : {"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"}) {
    const TimeZone where = zone(name);
    for (int round = 0; round < 12; ++round) {
      Drawn drawn = drawer.draw();
      auto parsed = CronSchedule::parse(drawn.text);
      if (!parsed) {  // the expression has only days that do not exist
        ASSERT_NE(parsed.error().message.find("would never come"), std::string::npos) << parsed.error().message;
        continue;
      }
      std::vector<sys_seconds> expected;
      local_seconds latest(kBegin.time_since_epoch() + where.period(kBegin).offset);
      TimeZone::Period period = where.period(kBegin);
      for (sys_seconds at = kBegin + 1min; at < kEnd; at += 1min) {
        if (at >= period.end) period = where.period(at);
        const local_seconds local(at.time_since_epoch() + period.offset);
        bool fires = drawn.shows(local) && (drawn.every_hour || local > latest);
        for (local_seconds skipped = latest + 1min; skipped < local && !drawn.every_hour; skipped += 1min) {
          fires = fires || drawn.shows(skipped);
        }
        latest = std::max(latest, local);
        if (fires) expected.push_back(at);
      }
      sys_seconds at = kBegin;
      for (const sys_seconds time : expected) {
        at = parsed->next(at, where);
        ASSERT_EQ(where.text(at), where.text(time)) << drawn.text << " in " << name;
      }
      ASSERT_GE(parsed->next(at, where), kEnd) << drawn.text << " in " << name;
    }
  }
}

// The start is any second, not only one of the schedule's times.
TEST(Cron, IsTheSameFromAnySecond) {
  Drawer drawer(11);
  std::mt19937 random(3);
  std::uniform_int_distribution<std::int64_t> second(0, 63'072'000);
  for (const char* const name : {"Europe/Berlin", "Australia/Lord_Howe"}) {
    const TimeZone where = zone(name);
    for (int round = 0; round < 200; ++round) {
      const Drawn drawn = drawer.draw();
      const auto parsed = CronSchedule::parse(drawn.text);
      if (!parsed) continue;
      // No time lies between: from anywhere before the next time the answer is the same.
      const sys_seconds from = sys_days(2027y / 1 / 1) + std::chrono::seconds(second(random));
      const sys_seconds next = parsed->next(from, where);
      ASSERT_GT(next, from);
      const auto span = (next - from).count();
      for (const auto part : {span / 3, span / 2, span - 1}) {
        ASSERT_EQ(parsed->next(from + std::chrono::seconds(part), where), next) << drawn.text;
      }
    }
  }
}

}  // namespace
}  // namespace minerva
