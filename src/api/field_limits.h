// Limits for the fields of inference requests whose values could make an engine fail, hang, or take memory that nobody
// counted. The engine judges everything else in a request.
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
  // For a number.
  std::int64_t least = 0;
  std::int64_t most = 0;
  // For a text, a list or an object: its bytes as the client sent them (of a grammar: the grammar's own bytes), and the
  // depth of its nested arrays and objects (of a grammar: of its groups).
  std::size_t max_bytes = 0;
  std::size_t max_depth = 0;
  std::size_t max_members = 0;  // of each object inside; 0: any number

  bool is_number() const { return max_bytes == 0; }
};

inline constexpr std::size_t kLongestLimitedName = 24;
inline constexpr std::size_t kDeepestLimit = 64;
// The limit of the field; nullptr if it may be anything.
const FieldLimit* find_field_limit(std::string_view name);

// Whether `number`, the text of a JSON number, is within the limit.
bool within(const FieldLimit& limit, std::string_view number);

// "\"n\" must be a number from 1 to 128."
std::string describe(const FieldLimit& limit);

// Measures a GBNF grammar character by character: its size, and the depth of its groups. Parentheses in literals,
// character classes and comments are no groups.
class GrammarScan {
 public:
  // false: the grammar is over the limit.
  bool feed(char c, const FieldLimit& limit);

 private:
  enum class State : std::uint8_t { kRules, kLiteral, kClass, kComment };
  State state_ = State::kRules;
  bool escaped_ = false;
  std::size_t bytes_ = 0;
  std::size_t depth_ = 0;
};

}  // namespace minerva::api
