#include "api/field_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

namespace minerva::api {
namespace {

constexpr std::int64_t kMaxInt = std::numeric_limits<std::int32_t>::max();
constexpr std::int64_t kMostTokens = 1 << 24;  // beyond any context, and small enough that sums do not overflow

constexpr std::size_t kMostMembers = 256;

constexpr FieldLimit number(std::string_view name, std::int64_t least, std::int64_t most) {
  return {name, least, most, 0, 0, 0};
}
constexpr FieldLimit nested(std::string_view name, std::size_t max_bytes, std::size_t max_depth,
                            std::size_t max_members = 0) {
  return {name, 0, 0, max_bytes, max_depth, max_members};
}

constexpr std::array kLimits = {
    // The number of answers: each takes a slot.
    number("n", 1, 128),
    number("n_cmpl", 1, 128),
    number("n_predict", -1, kMaxInt),
    number("max_tokens", -1, kMaxInt),
    number("max_completion_tokens", -1, kMaxInt),
    number("max_output_tokens", -1, kMaxInt),
    // The engine adds to this number and subtracts from it when it shifts a context.
    number("n_keep", -1, kMostTokens),
    number("n_discard", 0, kMostTokens),
    number("n_indent", 0, kMostTokens),
    number("n_cache_reuse", 0, kMostTokens),
    // The engine takes a negative number for the whole vocabulary, with every token.
    number("n_probs", 0, 1000),
    number("logprobs", 0, 1000),
    number("top_logprobs", 0, 1000),
    number("min_keep", 0, 1 << 20),
    // The engine allocates memory for that many tokens at once.
    number("repeat_last_n", -1, 1 << 20),
    number("dry_penalty_last_n", -1, 1 << 20),
    number("dry_allowed_length", 0, 1 << 20),
    // Of a reranking; the engine fails on a negative number.
    number("top_n", 0, kMostTokens),
    // The engine parses a grammar, and what it makes into one, with nested calls: one for each level and each rule. And
    // the cost of optional members of a schema grows faster than their square.
    nested("grammar", 64 * 1024, kDeepestLimit),
    nested("json_schema", 64 * 1024, kDeepestLimit, kMostMembers),
    nested("response_format", 64 * 1024, kDeepestLimit, kMostMembers),
    nested("text", 64 * 1024, kDeepestLimit, kMostMembers),
    nested("tools", 1024 * 1024, kDeepestLimit, kMostMembers),
    nested("grammar_triggers", 16 * 1024, 8),
    // The engine looks at these again for each token.
    nested("samplers", 4 * 1024, 8),
    nested("dry_sequence_breakers", 16 * 1024, 8),
    nested("stop", 64 * 1024, 8),
    nested("logit_bias", 1024 * 1024, 8),
};

constexpr bool fits_the_scan(const FieldLimit& limit) {
  return limit.name.size() <= kLongestLimitedName && limit.max_depth <= kDeepestLimit;
}
static_assert(std::all_of(kLimits.begin(), kLimits.end(), fits_the_scan));

}  // namespace

const FieldLimit* find_field_limit(std::string_view name) {
  const auto* const found =
      std::find_if(kLimits.begin(), kLimits.end(), [&](const FieldLimit& limit) { return limit.name == name; });
  return found == kLimits.end() ? nullptr : found;
}

bool within(const FieldLimit& limit, std::string_view number) {
  double value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  return error == std::errc() && end == number.data() + number.size() && value >= static_cast<double>(limit.least) &&
         value <= static_cast<double>(limit.most);
}

std::string describe(const FieldLimit& limit) {
  if (limit.is_number()) {
    return fmt::format("\"{}\" must be a number from {} to {}.", limit.name, limit.least, limit.most);
  }
  const std::string members =
      limit.max_members == 0 ? std::string() : fmt::format(", and {} members in one object", limit.max_members);
  return fmt::format("\"{}\" may have {} bytes and {} levels of nesting at most{}.", limit.name, limit.max_bytes,
                     limit.max_depth, members);
}

bool GrammarScan::feed(char c, const FieldLimit& limit) {
  if (++bytes_ > limit.max_bytes) return false;
  if (escaped_) {
    escaped_ = false;
    return true;
  }
  switch (state_) {
    case State::kComment:
      if (c == '\n' || c == '\r') state_ = State::kRules;
      return true;
    case State::kLiteral:
    case State::kClass:
      escaped_ = c == '\\';
      if (c == (state_ == State::kLiteral ? '"' : ']')) state_ = State::kRules;
      return true;
    case State::kRules:
      break;
  }
  if (c == '"') state_ = State::kLiteral;
  if (c == '[') state_ = State::kClass;
  if (c == '#') state_ = State::kComment;
  if (c == '(') ++depth_;
  if (c == ')' && depth_ > 0) --depth_;
  return depth_ <= limit.max_depth;
}

}  // namespace minerva::api
