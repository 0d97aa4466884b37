#include "minerva/base/bytes.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <optional>

namespace minerva {
namespace {

constexpr double kTwoTo64 = 18446744073709551616.0;

// How many bytes a unit is; nothing if it is no unit. People type units, so case does not matter.
std::optional<std::uint64_t> unit_factor(std::string_view unit) {
  if (unit.empty()) return 1;
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  if (unit.size() == 1 && lower(unit[0]) == 'b') return 1;
  constexpr std::string_view kPrefixes = "kmgt";
  const std::size_t power = kPrefixes.find(lower(unit[0]));
  if (power == std::string_view::npos) return std::nullopt;
  std::string rest;
  for (char c : unit.substr(1)) rest += lower(c);
  std::uint64_t base = 1024;
  if (rest == "b") {
    base = 1000;
  } else if (!rest.empty() && rest != "ib") {
    return std::nullopt;
  }
  std::uint64_t factor = 1;
  for (std::size_t i = 0; i <= power; ++i) factor *= base;
  return factor;
}

Failure not_a_size(std::string_view text) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" is not an amount of memory; write it like 1536, 512MiB, 2GiB or 1.5G", text));
}

}  // namespace

Result<Bytes> parse_bytes(std::string_view text) {
  const std::size_t unit_at = std::min(text.find_first_not_of("0123456789."), text.size());
  const std::string_view number = text.substr(0, unit_at);
  std::string_view unit = text.substr(unit_at);
  while (unit.starts_with(' ')) unit.remove_prefix(1);
  const std::optional<std::uint64_t> factor = unit_factor(unit);
  if (number.empty() || number.front() == '.' || number.back() == '.' || !factor) return not_a_size(text);

  const Failure too_large = fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is more than 2^64 bytes", text));
  const char* end = number.data() + number.size();
  if (number.find('.') == std::string_view::npos) {
    std::uint64_t count = 0;
    const auto [stop, error] = std::from_chars(number.data(), end, count);
    if (error == std::errc::result_out_of_range) return too_large;
    if (error != std::errc() || stop != end) return not_a_size(text);
    if (count > UINT64_MAX / *factor) return too_large;
    return Bytes(count * *factor);
  }
  double count = 0;
  const auto [stop, error] = std::from_chars(number.data(), end, count, std::chars_format::fixed);
  if (error != std::errc() || stop != end) return not_a_size(text);
  count = std::round(count * static_cast<double>(*factor));
  if (!(count < kTwoTo64)) return too_large;
  return Bytes(static_cast<std::uint64_t>(count));
}

std::string format_bytes(Bytes bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  double amount = static_cast<double>(bytes.count());
  std::size_t unit = 0;
  // One decimal is shown, so 1023.96 KiB already reads as 1 MiB.
  while (unit + 1 < kUnits.size() && std::round(amount * 10) / 10 >= 1024) {
    amount /= 1024;
    ++unit;
  }
  std::string text = fmt::format("{:.1f}", amount);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return fmt::format("{} {}", text, kUnits[unit]);
}

}  // namespace minerva
