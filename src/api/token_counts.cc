#include "api/token_counts.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "api/json.h"
#include "api/json_text.h"

namespace minerva::api {
namespace {

// The last member `key` (with its quotes and colon) that is a complete object. The key cannot stand inside a string:
// there its quotes would be escaped.
Json last_object(std::string_view text, std::string_view key) {
  const std::size_t at = text.rfind(key);
  if (at == std::string_view::npos) return nullptr;
  const auto value = JsonReader(text, at + key.size()).value();
  if (!value) return nullptr;
  Json object = Json::parse(*value, nullptr, /*allow_exceptions=*/false);
  return object.is_object() ? object : Json(nullptr);
}

std::optional<std::uint64_t> first_of(const Json& object, const char* one, const char* other) {
  const auto found = count_of(object, one);
  return found ? found : count_of(object, other);
}

TokenCounts of_timings(const Json& timings) {
  TokenCounts counts;
  counts.cached = count_of(timings, "cache_n");
  if (const auto read = count_of(timings, "prompt_n")) counts.prompt = *read + counts.cached.value_or(0);
  counts.generated = count_of(timings, "predicted_n");
  const auto speed = timings.find("predicted_per_second");
  if (speed != timings.end() && speed->is_number() && counts.generated.value_or(0) > 1) {
    counts.per_second = speed->get<double>();
  }
  return counts;
}

// By OpenAI's names, or by those of its responses and of Anthropic's messages.
TokenCounts of_usage(const Json& usage) {
  TokenCounts counts;
  counts.prompt = first_of(usage, "prompt_tokens", "input_tokens");
  counts.generated = first_of(usage, "completion_tokens", "output_tokens");
  for (const char* const details : {"prompt_tokens_details", "input_tokens_details"}) {
    const auto found = usage.find(details);
    if (found != usage.end() && found->is_object()) counts.cached = count_of(*found, "cached_tokens");
  }
  // Anthropic's input_tokens do not include these
  if (const auto cached = count_of(usage, "cache_read_input_tokens")) {
    counts.cached = cached;
    if (counts.prompt) *counts.prompt += *cached;
  }
  return counts;
}

}  // namespace

TokenCounts read_token_counts(std::string_view end_of_answer) {
  if (const Json timings = last_object(end_of_answer, "\"timings\":"); !timings.is_null()) return of_timings(timings);
  if (const Json usage = last_object(end_of_answer, "\"usage\":"); !usage.is_null()) return of_usage(usage);
  return {};
}

void AnswerEnd::take(std::string_view piece) {
  if (piece.size() > kSize) piece.remove_prefix(piece.size() - kSize);
  const std::size_t first = std::min(piece.size(), kSize - at_);
  std::memcpy(ring_.data() + at_, piece.data(), first);
  std::memcpy(ring_.data(), piece.data() + first, piece.size() - first);
  full_ = full_ || at_ + piece.size() >= kSize;
  at_ = (at_ + piece.size()) % kSize;
}

TokenCounts AnswerEnd::counts() const {
  std::string text;
  if (full_) text.append(ring_.data() + at_, kSize - at_);
  text.append(ring_.data(), at_);
  return read_token_counts(text);
}

}  // namespace minerva::api
