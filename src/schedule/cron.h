// CronSchedule: times that are set ahead, in the syntax of crontab(5): "0 8 * * mon-fri".
//
// There are five fields: minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or jan-dec), day of the week
// (0-7 or sun-sat; 0 and 7 are Sunday). Each field is `*`, a value, a range, or a list of these with commas. A `*` and
// a range may have a step: "*/5", "8-18/2". One of @hourly, @daily, @weekly, @monthly may stand for all five. Where
// both days are restricted (neither field begins with `*`), a day that fits one of them is enough.
//
// When clocks are set forward, a time that they skip counts as the first time after the skip. When clocks are set back,
// a time that they show twice counts once, the first time. So a daily job runs each day, once. A schedule that has
// every hour goes by instants instead: it neither pauses for an hour nor runs an hour twice.
// Threading: plain values; any thread. It waits for nothing and reads no clock.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "minerva/base/result.h"
#include "schedule/time_zone.h"

namespace minerva {

class CronSchedule {
 public:
  // Errors: kInvalidArgument, which says what is wrong in which field; also for days that no year has ("0 0 31 2 *").
  static Result<CronSchedule> parse(std::string_view text);

  // The expression as the user wrote it.
  const std::string& text() const { return text_; }
  // The first of the schedule's times after `after`. Requires: a year from 1800 to 9000.
  std::chrono::sys_seconds next(std::chrono::sys_seconds after, const TimeZone& zone) const;

  bool operator==(const CronSchedule&) const = default;

 private:
  using LocalMinutes = std::chrono::local_time<std::chrono::minutes>;

  CronSchedule() = default;
  bool every_hour() const;
  bool on_day(std::chrono::local_days day) const;
  // The first time of the schedule, as clocks show it, at `from` or later.
  LocalMinutes first_match(LocalMinutes from) const;

  // Sets of numbers: bit n is set if n is a member.
  std::uint64_t minutes_ = 0;
  std::uint64_t hours_ = 0;
  std::uint64_t days_ = 0;
  std::uint64_t months_ = 0;
  std::uint64_t weekdays_ = 0;  // 0 to 6, from Sunday on
  bool either_day_ = false;     // both fields of days are restricted: one of them is enough
  std::string text_;
};

}  // namespace minerva
