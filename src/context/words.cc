#include "context/words.h"

#include <fmt/format.h>

#include <algorithm>

namespace minerva {

std::string in_quotes(const ModelId& id) { return fmt::format("\"{}\"", id); }

std::string count_of(std::size_t n, std::string_view noun) {
  return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s");
}

std::string requests_wait(std::size_t n) { return n == 1 ? "1 request waits" : fmt::format("{} requests wait", n); }

int retry_seconds(Duration span) {
  const std::chrono::seconds seconds = std::chrono::ceil<std::chrono::seconds>(span);
  return static_cast<int>(std::clamp<std::int64_t>(seconds.count(), 1, 3600));
}

}  // namespace minerva
