#include "schedule/cron.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <charconv>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "minerva/base/check.h"

namespace minerva {
namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::local_days;
using std::chrono::local_seconds;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_seconds;

constexpr std::size_t kLongestText = 256;

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kNamed = {
    {{"@hourly", "0 * * * *"}, {"@daily", "0 0 * * *"}, {"@weekly", "0 0 * * 0"}, {"@monthly", "0 0 1 * *"}}};

struct Field {
  std::string_view name;
  unsigned least;
  unsigned most;
  std::span<const std::string_view> names;  // of `least` and those after it
};
constexpr std::array<Field, 5> kFields = {{{"minute", 0, 59, {}},
                                           {"hour", 0, 23, {}},
                                           {"day of the month", 1, 31, {}},
                                           {"month", 1, 12, kMonths},
                                           {"day of the week", 0, 7, kWeekdays}}};

constexpr std::uint64_t bit(unsigned value) { return std::uint64_t{1} << value; }

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::vector<std::string_view> split_fields(std::string_view text) {
  std::vector<std::string_view> fields;
  for (auto begin = text.begin();;) {
    begin = std::find_if_not(begin, text.end(), is_blank);
    if (begin == text.end()) return fields;
    const auto end = std::find_if(begin, text.end(), is_blank);
    fields.emplace_back(begin, end);
    begin = end;
  }
}

bool same_word(std::string_view word, std::string_view lower) {
  return std::equal(word.begin(), word.end(), lower.begin(), lower.end(),
                    [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; });
}

std::string allowed_in(const Field& field) {
  std::string numbers = fmt::format("{} to {}", field.least, field.most);
  if (field.names.empty()) return numbers;
  return fmt::format("{} or {} to {}", numbers, field.names.front(), field.names.back());
}

Failure wrong(const Field& field, const std::string& why) {
  return fail(ErrorCode::kInvalidArgument, fmt::format("{}: {}", field.name, why));
}

std::optional<unsigned> number(std::string_view text) {
  unsigned value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  if (text.empty() || end != last || error != std::errc()) return std::nullopt;
  return value;
}

Result<unsigned> parse_value(const Field& field, std::string_view text) {
  for (std::size_t i = 0; i < field.names.size(); ++i) {
    if (same_word(text, field.names[i])) return field.least + static_cast<unsigned>(i);
  }
  const auto value = number(text);
  if (value && *value >= field.least && *value <= field.most) return *value;
  if (text.empty()) return wrong(field, fmt::format("a value is missing; {} is allowed", allowed_in(field)));
  return wrong(field, fmt::format("\"{}\" is none; {} is allowed", text, allowed_in(field)));
}

// `*`, a value or a range, and a step.
Result<std::uint64_t> parse_item(const Field& field, std::string_view item) {
  const std::size_t slash = item.find('/');
  const std::string_view range = item.substr(0, slash);
  const std::size_t dash = range.find('-');
  unsigned first = field.least;
  unsigned last = field.most;
  if (range != "*") {
    const auto begin = parse_value(field, range.substr(0, dash));
    if (!begin) return fail(begin.error());
    first = last = *begin;
    if (dash != std::string_view::npos) {
      const std::string_view end_text = range.substr(dash + 1);
      const auto end = parse_value(field, end_text);
      if (!end) return fail(end.error());
      last = *end;
      // "sat-sun": the Sunday after that Saturday, which is day 7.
      if (same_word(end_text, kWeekdays.front()) && first > 0) last = kWeekdays.size();
    }
    if (last < first) {
      return wrong(field, fmt::format("the range \"{}\" ends before it begins; write it as two, with a comma", range));
    }
  }
  unsigned step = 1;
  if (slash != std::string_view::npos) {
    if (range != "*" && dash == std::string_view::npos) {
      return wrong(field, fmt::format("\"{}\" has a step without a range; write \"{}-{}{}\"", item, range, field.most,
                                      item.substr(slash)));
    }
    const auto value = number(item.substr(slash + 1));
    const unsigned longest = field.most - field.least;
    if (!value || *value < 1 || *value > longest) {
      return wrong(field, fmt::format("\"{}\" is no step; 1 to {} is allowed", item.substr(slash + 1), longest));
    }
    step = *value;
  }
  std::uint64_t set = 0;
  for (unsigned value = first; value <= last; value += step) set |= bit(value);
  return set;
}

Result<std::uint64_t> parse_field(const Field& field, std::string_view text) {
  std::uint64_t set = 0;
  while (true) {
    const std::size_t comma = text.find(',');
    auto item = parse_item(field, text.substr(0, comma));
    if (!item) return item;
    set |= *item;
    if (comma == std::string_view::npos) return set;
    text.remove_prefix(comma + 1);
  }
}

// How many days the month has in some year.
constexpr unsigned longest_month(unsigned month) {
  constexpr std::array<unsigned, 12> kLengths = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kLengths[month - 1];
}

bool has_any_day(std::uint64_t days_of_month, std::uint64_t months) {
  for (unsigned month = 1; month <= 12; ++month) {
    const std::uint64_t there = bit(longest_month(month) + 1) - 1;
    if ((months & bit(month)) != 0 && (days_of_month & there) != 0) return true;
  }
  return false;
}

// The first member of the set that is `from` or larger; nothing if there is none.
std::optional<unsigned> first_in(std::uint64_t set, std::int64_t from) {
  const std::uint64_t left = set & ~(bit(static_cast<unsigned>(from)) - 1);
  if (left == 0) return std::nullopt;
  return static_cast<unsigned>(std::countr_zero(left));
}

}  // namespace

Result<CronSchedule> CronSchedule::parse(std::string_view text) {
  CronSchedule schedule;
  if (text.size() > kLongestText) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("a schedule has {} characters at most", kLongestText));
  }
  schedule.text_ = text;
  std::vector<std::string_view> fields = split_fields(text);
  if (fields.size() == 1 && fields.front().starts_with('@')) {
    const auto* const named =
        std::find_if(kNamed.begin(), kNamed.end(), [&](const auto& n) { return same_word(fields.front(), n.first); });
    if (named == kNamed.end()) {
      return fail(ErrorCode::kInvalidArgument,
                  fmt::format("\"{}\" is not one of @hourly, @daily, @weekly, @monthly", fields.front()));
    }
    fields = split_fields(named->second);
  }
  if (fields.size() != kFields.size()) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" has {} field{}; a schedule has five: minute, hour, day of the month, month, day of "
                            "the week, like \"0 8 * * mon-fri\"",
                            text, fields.size(), fields.size() == 1 ? "" : "s"));
  }
  const std::array<std::uint64_t*, kFields.size()> sets = {&schedule.minutes_, &schedule.hours_, &schedule.days_,
                                                           &schedule.months_, &schedule.weekdays_};
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    const auto set = parse_field(kFields[i], fields[i]);
    if (!set) return fail(set.error());
    *sets[i] = *set;
  }
  constexpr std::uint64_t kSecondSunday = bit(7);
  if ((schedule.weekdays_ & kSecondSunday) != 0) schedule.weekdays_ = (schedule.weekdays_ & ~kSecondSunday) | bit(0);
  schedule.either_day_ = !fields[2].starts_with('*') && !fields[4].starts_with('*');
  if (!schedule.either_day_ && !has_any_day(schedule.days_, schedule.months_)) {
    return wrong(kFields[2], fmt::format("no month of \"{}\" has a day \"{}\", so \"{}\" would never come", fields[3],
                                         fields[2], text));
  }
  return schedule;
}

bool CronSchedule::every_hour() const { return hours_ == bit(24) - 1; }

bool CronSchedule::on_day(local_days day) const {
  const bool of_month = (days_ & bit(static_cast<unsigned>(std::chrono::year_month_day(day).day()))) != 0;
  const bool of_week = (weekdays_ & bit(std::chrono::weekday(day).c_encoding())) != 0;
  return either_day_ ? of_month || of_week : of_month && of_week;
}

CronSchedule::LocalMinutes CronSchedule::first_match(LocalMinutes from) const {
  // After 400 years the dates fall on the same days of the week again: a time that did not come by then never comes.
  constexpr auto kCycle = std::chrono::years(400);
  local_days day = std::chrono::floor<days>(from);
  minutes earliest = from - day;
  const local_days end = day + std::chrono::ceil<days>(kCycle) + days(1);
  for (; day <= end; earliest = minutes(0)) {
    const std::chrono::year_month_day date(day);
    if ((months_ & bit(static_cast<unsigned>(date.month()))) == 0) {
      day = local_days(date.year() / date.month() / std::chrono::last) + days(1);
      continue;
    }
    if (on_day(day)) {
      for (auto hour = first_in(hours_, std::chrono::floor<hours>(earliest).count()); hour;
           hour = first_in(hours_, *hour + 1)) {
        const minutes into = std::max(earliest - hours(*hour), minutes(0));
        if (const auto minute = first_in(minutes_, into.count())) return day + hours(*hour) + minutes(*minute);
      }
    }
    day += days(1);
  }
  check(false, "a schedule that never comes was refused");
  return {};
}

sys_seconds CronSchedule::next(sys_seconds after, const TimeZone& zone) const {
  if (!every_hour()) {
    const seconds offset = zone.period(after).offset;
    const local_seconds shown(after.time_since_epoch() + offset);
    // A later time on the clocks never comes at an earlier instant, if its first occurrence counts. So times before
    // `shown` need no look.
    for (LocalMinutes local = first_match(std::chrono::floor<minutes>(shown));;
         local = first_match(local + minutes(1))) {
      const sys_seconds at = zone.first_instant(local);
      if (at > after) return at;
    }
  }
  for (TimeZone::Period period = zone.period(after);; period = zone.period(period.end)) {
    const sys_seconds from = std::max(after + seconds(1), period.begin);
    const local_seconds shown(from.time_since_epoch() + period.offset);
    const LocalMinutes local = first_match(std::chrono::ceil<minutes>(shown));
    const sys_seconds at(local.time_since_epoch() - period.offset);
    if (at < period.end) return at;
  }
}

}  // namespace minerva
