#include <algorithm>
#include <array>
#include <cctype>
#include <span>

#include "engine/engine.h"

namespace minerva {
namespace {

bool contains_any(std::string_view line, std::span<const std::string_view> words) {
  return std::any_of(words.begin(), words.end(),
                     [line](std::string_view word) { return line.find(word) != std::string_view::npos; });
}

// A line of llama.cpp begins with a time and a level: "0.00.017.830 E srv load_model: ...".
struct LogLine {
  char level = 0;  // 0: it is no such line
  std::string_view text;
};

LogLine split_level(std::string_view line) {
  std::size_t at = 0;
  while (at < line.size() && (std::isdigit(static_cast<unsigned char>(line[at])) != 0 || line[at] == '.')) ++at;
  if (at < 5 || at + 3 > line.size() || line[at] != ' ' || line[at + 2] != ' ') return {0, line};
  const char level = line[at + 1];
  if (std::string_view("EWID").find(level) == std::string_view::npos) return {0, line};
  return {level, line.substr(at + 3)};
}

bool reports_error(const LogLine& line) {
  static constexpr std::array<std::string_view, 8> kSigns = {"error",     "Error",   "GGML_ASSERT", "failed",
                                                             "exception", "what():", "abort",       "Assertion"};
  return line.level == 'E' || (line.level == 0 && contains_any(line.text, kSigns));
}

// Whether the line only repeats that something went wrong.
bool is_consequence(const LogLine& line) {
  static constexpr std::array<std::string_view, 5> kEchoes = {
      "exiting due to", "failed to load model", "failed to create context", "failed to create_context", "cleaning up"};
  return contains_any(line.text, kEchoes);
}

}  // namespace

void EngineLog::append(std::string_view line) {
  line = line.substr(0, kMaxLineBytes);
  if (ring_.size() < kMaxLines) {
    ring_.emplace_back(line);
  } else {
    ring_[next_] = line;
    next_ = (next_ + 1) % kMaxLines;
  }
  // By index, since a follower may add or remove followers.
  for (std::size_t i = 0; i < followers_.size(); ++i) {
    if (const auto follower = followers_[i].lock()) (*follower)(line);
  }
  std::erase_if(followers_, [](const auto& follower) { return follower.expired(); });
}

std::vector<std::string> EngineLog::tail(std::size_t count) const {
  count = std::min(count, ring_.size());
  std::vector<std::string> lines;
  lines.reserve(count);
  for (std::size_t i = ring_.size() - count; i < ring_.size(); ++i) lines.push_back(ring_[(next_ + i) % ring_.size()]);
  return lines;
}

std::string EngineLog::last_words() const {
  static constexpr std::size_t kLookBack = 50;
  const std::vector<std::string> lines = tail(kLookBack);
  std::string_view echo;
  std::string_view last;
  for (auto it = lines.rbegin(); it != lines.rend(); ++it) {
    const LogLine line = split_level(*it);
    if (last.empty()) last = line.text;
    if (!reports_error(line)) continue;
    if (!is_consequence(line)) return std::string(line.text);
    if (echo.empty()) echo = line.text;
  }
  return std::string(echo.empty() ? last : echo);
}

std::shared_ptr<void> EngineLog::follow(std::function<void(std::string_view)> fn) {
  // Shared: a caller that drops it, at any time, stops following.
  auto follower = std::make_shared<std::function<void(std::string_view)>>(std::move(fn));
  followers_.push_back(follower);
  return follower;
}

}  // namespace minerva
