// CronSchedule: set times, as crontab(5) has them: "0 8 * * mon-fri".
//
// Five fields: minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or jan-dec), day of the week (0-7 or
// sun-sat; 0 and 7 are Sunday). Each is `*`, a value, a range or a list of them with commas; `*` and a range may have a
// step: "*/5", "8-18/2". Or one of @hourly, @daily, @weekly, @monthly. Where both days are restricted (begin with no
// `*`), one of them is enough.
//
// When clocks are set forward, a time they skip counts as the first one after; when they are set back, a time they show
// twice counts once, the first time. So a job of the day runs each day, once. A schedule of every hour goes by what
// clocks show instead: it pauses for no hour and runs none twice.
// Plain values; any thread. It waits for nothing and reads no clock.
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

  // As it was written.
  const std::string& text() const { return text_; }
  // The first of its times after `after`. Requires: a year from 1800 to 9000.
  std::chrono::sys_seconds next(std::chrono::sys_seconds after, const TimeZone& zone) const;

  bool operator==(const CronSchedule&) const = default;

 private:
  using LocalMinutes = std::chrono::local_time<std::chrono::minutes>;

  CronSchedule() = default;
  bool every_hour() const;
  bool on_day(std::chrono::local_days day) const;
  // The first time clocks could show at `from` or later.
  LocalMinutes first_match(LocalMinutes from) const;

  // Bit n: n is in it.
  std::uint64_t minutes_ = 0;
  std::uint64_t hours_ = 0;
  std::uint64_t days_ = 0;
  std::uint64_t months_ = 0;
  std::uint64_t weekdays_ = 0;  // 0 to 6, from Sunday on
  bool either_day_ = false;     // both are restricted
  std::string text_;
};

}  // namespace minerva
