// The log: one line per event, to stderr, as text or JSON. Control characters are escaped. Prompts and keys never go
// into the log. A line of JSON is an object with "time", "level", "message" and the fields of the event.
//
// Threading: any thread.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace minerva::log {

enum class Level { kDebug, kInfo, kWarn, kError };
enum class Format { kText, kJson };

// For programs that read JSON: the same facts that the message has in words. The text format leaves the fields out.
using Fields = std::vector<std::pair<std::string_view, std::string>>;

void configure(Level level, Format format);
bool enabled(Level level);
// Writes one line. `message` may hold foreign bytes: write() escapes them.
void write(Level level, std::string_view message, const Fields& fields = {});

template <typename... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug)) write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void debug(const Fields& fields, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kDebug)) write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...), fields);
}
template <typename... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void info(const Fields& fields, fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kInfo)) write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...), fields);
}
template <typename... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kWarn)) write(Level::kWarn, fmt::format(format, std::forward<Args>(args)...));
}
template <typename... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::kError)) write(Level::kError, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace minerva::log
