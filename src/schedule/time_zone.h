// TimeZone: what clocks show in one place, by the system's tz database. Howard Hinnant's date library reads the
// database.
//
// The library takes the transitions that a zone's file lists. It ignores the rule at the file's end for all later
// years. So it needs files with a list, as Debian's tzdata has them, and it knows no daylight saving after the last
// listed year (2037).
// Threading: plain values; any thread. The first find() reads the database, once: later changes on disk have no effect.
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

  // The zone of that name, such as "Europe/Berlin". Errors: kInvalidArgument.
  static Result<TimeZone> find(const std::string& name);
  // The zone that the variable TZ names, else the zone of /etc/localtime, else UTC, as everywhere on Unix.
  // Errors: kInvalidArgument when the zone has no name.
  static Result<TimeZone> of_machine();

  std::string name() const;

  // From `begin` on and before `end`, clocks show UTC plus `offset`.
  struct Period {
    std::chrono::sys_seconds begin;
    std::chrono::sys_seconds end;
    std::chrono::seconds offset;
  };
  Period period(std::chrono::sys_seconds at) const;
  // The instant at which clocks show `local`. If they show it twice: the first of the two. If they never do, as they
  // are set forward over it: the instant of that change.
  std::chrono::sys_seconds first_instant(std::chrono::local_seconds local) const;
  // ISO 8601: "2026-11-30T08:00:00+01:00". Offsets of long ago have seconds; these are left out.
  std::string text(std::chrono::sys_seconds at) const;

  bool operator==(const TimeZone&) const = default;

 private:
  const date::time_zone* zone_ = nullptr;  // the database owns the zone and never frees it; nullptr: UTC
};

}  // namespace minerva
