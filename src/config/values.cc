#include "config/values.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdlib>
#include <filesystem>

#include "minerva/base/check.h"

namespace minerva {
namespace {

using std::chrono::milliseconds;

struct Unit {
  std::string_view name;
  milliseconds length;
};
constexpr std::array<Unit, 5> kUnits = {{{"d", std::chrono::hours(24)},
                                         {"h", std::chrono::hours(1)},
                                         {"m", std::chrono::minutes(1)},
                                         {"s", std::chrono::seconds(1)},
                                         {"ms", milliseconds(1)}}};
constexpr milliseconds kLongest = std::chrono::hours(24 * 365);

}  // namespace

Result<Duration> parse_duration(std::string_view text) {
  const auto expected = [text] {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" is no duration; write a whole number and ms, s, m, h or d, like \"30s\"", text));
  };
  std::int64_t count = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, count);
  if (error != std::errc() || count < 0) return expected();
  const std::string_view name(end, static_cast<std::size_t>(last - end));
  for (const Unit& unit : kUnits) {
    if (name != unit.name) continue;
    if (count > kLongest / unit.length) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is longer than a year", text));
    }
    return std::chrono::duration_cast<Duration>(count * unit.length);
  }
  return expected();
}

std::string format_duration(Duration duration) {
  const auto whole = std::chrono::duration_cast<milliseconds>(duration);
  check(whole == duration && whole >= milliseconds::zero(), "a duration of whole milliseconds");
  if (whole == milliseconds::zero()) return "0s";
  for (const Unit& unit : kUnits) {
    if (whole % unit.length == milliseconds::zero()) return fmt::format("{}{}", whole / unit.length, unit.name);
  }
  return {};  // not reached: everything is whole milliseconds
}

Result<std::uint64_t> parse_count(std::string_view text, std::uint64_t least, std::uint64_t most) {
  std::uint64_t count = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, count);
  if (text.empty() || end != last || error == std::errc::invalid_argument) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no whole number from {} to {}", text, least, most));
  }
  if (error == std::errc::result_out_of_range || count < least || count > most) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("{} is out of range: {} to {} is allowed", text, least, most));
  }
  return count;
}

Result<Bytes> parse_size(std::string_view text, Bytes least, Bytes most) {
  auto bytes = parse_bytes(text);
  if (!bytes || (*bytes >= least && *bytes <= most)) return bytes;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("{} is out of range: {} to {} is allowed", text, size_text(least), size_text(most)));
}

std::string size_text(Bytes bytes) {
  static constexpr std::array<std::pair<unsigned, std::string_view>, 4> kSuffixes = {
      {{40, "TiB"}, {30, "GiB"}, {20, "MiB"}, {10, "KiB"}}};
  for (const auto& [shift, suffix] : kSuffixes) {
    const std::uint64_t count = bytes.count() >> shift;
    if (count > 0 && count << shift == bytes.count()) return fmt::format("{}{}", count, suffix);
  }
  return fmt::to_string(bytes.count());
}

Result<std::string> expand_path(std::string_view text, const std::string& base) {
  if (text.empty()) return fail(ErrorCode::kInvalidArgument, "the path is empty");
  std::filesystem::path path(text);
  if (text == "~" || text.starts_with("~/")) {
    const char* const home = std::getenv("HOME");
    if (home == nullptr || *home == '\0') {
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" needs HOME to be set; write the whole path", text));
    }
    path = std::filesystem::path(home) / text.substr(std::min<std::size_t>(2, text.size()));
  }
  path = (std::filesystem::path(base) / path).lexically_normal();
  if (!path.has_filename() && path.has_parent_path()) path = path.parent_path();  // no slash at the end
  return path.string();
}

}  // namespace minerva
