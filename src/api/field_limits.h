// Fields of inference requests with values that make an engine fail, hang, or take memory nobody counted; and what is
// sane for them. Everything else about a request is for the engine to judge.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace minerva::api {

struct FieldLimit {
  std::string_view name;
  // Of a number.
  std::int64_t least = 0;
  std::int64_t most = 0;
  // Of a text, list or object: bytes as sent (of a grammar: its own), and nested arrays and objects (groups).
  std::size_t max_bytes = 0;
  std::size_t max_depth = 0;
  std::size_t max_members = 0;  // of each object in it; 0: any number

  bool is_number() const { return max_bytes == 0; }
};

inline constexpr std::size_t kLongestLimitedName = 24;
inline constexpr std::size_t kDeepestLimit = 64;
// nullptr for a field that may be anything.
const FieldLimit* find_field_limit(std::string_view name);

// Whether a JSON number, as its text, is within the limit.
bool within(const FieldLimit& limit, std::string_view number);

// "\"n\" must be a number from 1 to 128."
std::string describe(const FieldLimit& limit);

// The size of a GBNF grammar and the depth of its groups, character by character: parentheses in literals, character
// classes and comments are none.
class GrammarScan {
 public:
  // false: over the limit.
  bool feed(char c, const FieldLimit& limit);

 private:
  enum class State : std::uint8_t { kRules, kLiteral, kClass, kComment };
  State state_ = State::kRules;
  bool escaped_ = false;
  std::size_t bytes_ = 0;
  std::size_t depth_ = 0;
};

}  // namespace minerva::api
