// JSON as text: finds the parts of a value, so that one part can be replaced and the rest stays as the client wrote it.
//
// Pure; any thread. The text may be broken: a part that cannot be read is nothing. No text is read twice.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace minerva::api {

// The position after the string whose first quote is right before `at`; npos if the string does not end.
std::size_t string_end(std::string_view text, std::size_t at);
// The position of the next quote or bracket from `at` on; the size of the text if there is none.
std::size_t next_structure(std::string_view text, std::size_t at);

class JsonReader {
 public:
  // `at`: where in `text` the reader begins.
  explicit JsonReader(std::string_view text, std::size_t at = 0) : text_(text), at_(at) {}

  // The next byte that is no white space; 0 at the end.
  char peek();
  // Skips white space and takes `c`. false: another byte is there.
  bool take(char c);
  // Takes a value of any kind. Nothing if there is none, or if it does not end. Brackets of both kinds are counted
  // together.
  std::optional<std::string_view> value();
  std::size_t at() const { return at_; }

 private:
  std::string_view text_;
  std::size_t at_;
};

// The meaning of a JSON string; `text` includes the quotes. Nothing if `text` is no JSON string.
std::optional<std::string> string_meaning(std::string_view text);
// Whether a JSON string means `word`. Requires: `word` needs no escapes.
bool means(std::string_view text, std::string_view word);

}  // namespace minerva::api
