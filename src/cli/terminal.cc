#include "cli/terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <utility>

#include "minerva/base/check.h"

namespace minerva::cli {

bool stdin_is_terminal() { return ::isatty(STDIN_FILENO) == 1; }
bool stdout_is_terminal() { return ::isatty(STDOUT_FILENO) == 1; }
bool stderr_is_terminal() { return ::isatty(STDERR_FILENO) == 1; }

bool stdout_has_colour() {
  const char* no_colour = std::getenv("NO_COLOR");
  const char* term = std::getenv("TERM");
  return stdout_is_terminal() && (no_colour == nullptr || *no_colour == '\0') && term != nullptr &&
         std::string_view(term) != "dumb";
}

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const bool c0 = (byte < 0x20 && byte != '\n' && byte != '\t') || byte == 0x7f;
    // U+0080 to U+009F: the C1 control characters, which UTF-8 writes in two bytes.
    const bool c1 = byte == 0xc2 && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xa0;
    if (c1) ++i;
    if (!c0 && !c1) result.push_back(text[i]);
  }
  return result;
}

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

void Table::add(std::vector<std::string> cells) {
  check(cells.size() == columns_.size(), "a table's row has as many cells as the table has columns");
  for (std::string& cell : cells) {
    cell = printable(cell);
    std::replace(cell.begin(), cell.end(), '\n', ' ');
  }
  rows_.push_back(std::move(cells));
}

std::string Table::text(bool bold_headings) const {
  std::vector<std::size_t> widths;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    std::size_t width = columns(columns_[i].heading);
    for (const auto& row : rows_) width = std::max(width, columns(row[i]));
    widths.push_back(width);
  }
  const auto line = [&](const auto& cell_of) {
    std::string result;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      const std::string& cell = cell_of(i);
      const std::string space(widths[i] - columns(cell), ' ');
      if (i > 0) result += "  ";
      result += columns_[i].align == Align::kRight ? space + cell : cell + space;
    }
    result.erase(result.find_last_not_of(' ') + 1);
    return result;
  };
  const std::string headings = line([&](std::size_t i) -> const std::string& { return columns_[i].heading; });
  std::string result = bold_headings ? "\033[1m" + headings + "\033[0m\n" : headings + "\n";
  for (const auto& row : rows_) {
    result += line([&](std::size_t i) -> const std::string& { return row[i]; }) + "\n";
  }
  return result;
}

std::string progress_bar(double fraction, std::size_t width) {
  fraction = std::clamp(fraction, 0.0, 1.0);
  const auto filled = static_cast<std::size_t>(std::lround(fraction * static_cast<double>(width)));
  return fmt::format("[{}{}] {:3.0f}%", std::string(filled, '#'), std::string(width - filled, '.'), 100 * fraction);
}

void StatusLine::show(std::string_view text) {
  if (text == shown_ || !stderr_is_terminal()) return;
  fmt::print(stderr, "\r\033[K{}", printable(text));
  std::fflush(stderr);
  shown_ = text;
}

void StatusLine::clear() {
  if (shown_.empty()) return;
  fmt::print(stderr, "\r\033[K");
  std::fflush(stderr);
  shown_.clear();
}

namespace {

// The number at the beginning of `text`, and what follows it. Nothing if there is no number.
std::optional<std::pair<double, std::string_view>> leading_number(std::string_view text) {
  double number = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number, std::chars_format::fixed);
  if (error != std::errc()) return std::nullopt;
  return std::pair(number, std::string_view(stop, end));
}

// Describes "31% of 12000 tokens".
std::string describe_reading(std::string_view so_far) {
  constexpr std::string_view kOf = "% of ";
  const auto percent = leading_number(so_far);
  if (!percent || !percent->second.starts_with(kOf)) return {};
  const auto total = leading_number(percent->second.substr(kOf.size()));
  if (!total || total->second != " tokens") return {};
  return fmt::format("reading {:.0f} % of {} tokens", percent->first, format_thousands(total->first));
}

}  // namespace

std::string describe_progress(std::string_view comment, std::string_view model) {
  if (comment == "waking") return fmt::format("waking {}", model);
  constexpr std::string_view kReading = "reading ";
  if (comment.starts_with(kReading)) return describe_reading(comment.substr(kReading.size()));
  constexpr std::string_view kLoading = "loading ";
  constexpr std::size_t kBarWidth = 30;
  if (!comment.starts_with(kLoading) || !comment.ends_with('%')) return {};
  const auto percent = leading_number(comment.substr(kLoading.size()));
  if (!percent || percent->second != "%") return {};
  // The file is read, but the context is not ready: a bar at its end would look stuck.
  if (percent->first >= 100) return fmt::format("loading {}: read, getting ready to serve", model);
  return fmt::format("loading {} {}", model, progress_bar(percent->first / 100, kBarWidth));
}

std::string format_thousands(double count) {
  std::string text = fmt::format("{:.0f}", count);
  constexpr std::size_t kGroup = 3;
  for (std::size_t at = text.size(); at > kGroup;) text.insert(at -= kGroup, 1, ',');
  return text;
}

std::string format_count(double count) {
  constexpr std::string_view kUnits[] = {"", "k", "M", "B", "T"};
  std::size_t unit = 0;
  while (unit + 1 < std::size(kUnits) && std::round(count * 10) / 10 >= 1000) {
    count /= 1000;
    ++unit;
  }
  std::string text = count < 10 ? fmt::format("{:.1f}", count) : fmt::format("{:.0f}", count);
  if (text.ends_with(".0")) text.resize(text.size() - 2);
  return text + std::string(kUnits[unit]);
}

std::string format_seconds(double seconds) {
  if (seconds < 0.9995) return fmt::format("{:.0f} ms", seconds * 1000);
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<long long>(std::llround(std::min(seconds, 1e12)));
  if (whole < 3600) return fmt::format("{} min {} s", whole / 60, whole % 60);
  return fmt::format("{} h {} min", whole / 3600, whole % 3600 / 60);
}

std::string format_ago(double seconds) {
  if (seconds < 1) return "now";
  const auto whole = static_cast<long long>(std::min(seconds, 1e12));
  if (whole < 60) return fmt::format("{} s ago", whole);
  if (whole < 3600) return fmt::format("{} min ago", whole / 60);
  if (whole < 86400) return fmt::format("{} h ago", whole / 3600);
  return fmt::format("{} d ago", whole / 86400);
}

}  // namespace minerva::cli
