// TimeZone: what clocks show where, by the system's tz database (Howard Hinnant's date library reads it).
//
// The library takes the transitions that a zone's file lists, and not the rule at its end for all that follow: it needs
// files with a list, as Debian's tzdata has them, and after the last one (2037) it knows no more daylight saving.
// Plain values; any thread. The database is read once, on the first find(): a zone stays as it was then.
#pragma once

#include <chrono>
#include <string>

#include "minerva/base/result.h"

namespace date {
class time_zone;
}  // namespace date

namespace minerva {

class TimeZone {
 public:
  TimeZone() = default;  // UTC, which needs no database

  // "Europe/Berlin". Errors: kInvalidArgument.
  static Result<TimeZone> find(const std::string& name);
  // The one that TZ names, else that of /etc/localtime; UTC where there is neither, as everywhere on Unix.
  // Errors: kInvalidArgument when it has no name.
  static Result<TimeZone> of_machine();

  std::string name() const;

  // From `begin` on and before `end` clocks show UTC plus `offset`.
  struct Period {
    std::chrono::sys_seconds begin;
    std::chrono::sys_seconds end;
    std::chrono::seconds offset;
  };
  Period period(std::chrono::sys_seconds at) const;
  // When clocks show `local`; the first time if they do twice, and when they are set forward over it if they never do.
  std::chrono::sys_seconds first_instant(std::chrono::local_seconds local) const;
  // ISO 8601: "2026-11-30T08:00:00+01:00". The offset's seconds, of times long ago, are left out.
  std::string text(std::chrono::sys_seconds at) const;

  bool operator==(const TimeZone&) const = default;

 private:
  const date::time_zone* zone_ = nullptr;  // the database's, which stays; nullptr: UTC
};

}  // namespace minerva
