#include "schedule/time_zone.h"

#include <date/tz.h>
#include <fmt/format.h>

#include <cstdlib>
#include <exception>
#include <filesystem>
#include <string_view>

namespace minerva {
namespace {

using std::chrono::local_seconds;
using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr std::string_view kUtc = "UTC";

// Errors: kInvalidArgument if there is no database.
Result<void> read_database() {
  try {
    date::get_tzdb();
  } catch (const std::exception& error) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("the time zones of this machine cannot be read ({}): install the package tzdata, or use "
                            "\"UTC\"",
                            error.what()));
  }
  return {};
}

}  // namespace

Result<TimeZone> TimeZone::find(const std::string& name) {
  TimeZone found;
  if (name == kUtc) return found;
  if (const auto read = read_database(); !read) return fail(read.error());
  try {
    found.zone_ = date::locate_zone(name);
    // Reads the zone's file now, so that later calls cannot fail.
    found.zone_->get_info(sys_seconds());
  } catch (const std::exception&) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("there is no time zone \"{}\"; write a name of the tz database, like \"Europe/Berlin\" "
                            "(/usr/share/zoneinfo has them), or \"UTC\"",
                            name));
  }
  return found;
}

Result<TimeZone> TimeZone::of_machine() {
  static constexpr std::string_view kLocalTime = "/etc/localtime";
  if (const char* const variable = std::getenv("TZ"); variable != nullptr) {
    std::string_view name(variable);
    if (name.starts_with(':')) name.remove_prefix(1);
    if (name.empty()) return TimeZone();
    if (name != kLocalTime) {
      auto zone = find(std::string(name));
      if (zone) return zone;
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("the variable TZ (\"{}\") names none: {}", variable, zone.error().message));
    }
  }
  std::error_code error;
  if (!std::filesystem::exists(kLocalTime, error)) return TimeZone();
  if (const auto read = read_database(); !read) return fail(read.error());
  try {
    return find(date::current_zone()->name());
  } catch (const std::exception&) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("{} does not tell the name of this machine's time zone; say it here, like "
                            "\"Europe/Berlin\"",
                            kLocalTime));
  }
}

std::string TimeZone::name() const { return zone_ == nullptr ? std::string(kUtc) : zone_->name(); }

TimeZone::Period TimeZone::period(sys_seconds at) const {
  if (zone_ == nullptr) return {sys_seconds::min(), sys_seconds::max(), seconds(0)};
  const date::sys_info info = zone_->get_info(at);
  return {info.begin, info.end, info.offset};
}

sys_seconds TimeZone::first_instant(local_seconds local) const {
  if (zone_ == nullptr) return sys_seconds(local.time_since_epoch());
  const date::local_info info = zone_->get_info(date::local_seconds(local.time_since_epoch()));
  if (info.result == date::local_info::nonexistent) return info.first.end;
  return sys_seconds(local.time_since_epoch() - info.first.offset);
}

std::string TimeZone::text(sys_seconds at) const {
  const seconds offset = period(at).offset;
  const auto local = at + offset;
  const auto day = std::chrono::floor<std::chrono::days>(local);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(local - day);
  const auto offset_minutes = std::chrono::duration_cast<std::chrono::minutes>(std::chrono::abs(offset)).count();
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}{}{:02}:{:02}", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()), time.hours().count(),
                     time.minutes().count(), time.seconds().count(), offset < seconds(0) ? '-' : '+',
                     offset_minutes / 60, offset_minutes % 60);
}

}  // namespace minerva
