// JSON as text: where the parts of a value are, so that one of them can be replaced and the rest stays as it came.
//
// Pure; any thread. The text may be broken: what cannot be read is nothing, and no text is read twice.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace minerva::api {

// After the string whose first quote is before `at`; npos if it does not end.
std::size_t string_end(std::string_view text, std::size_t at);
// The next quote or bracket from `at` on; the text's size if there is none.
std::size_t next_structure(std::string_view text, std::size_t at);

class JsonReader {
 public:
  // `at`: where in `text` it begins to read.
  explicit JsonReader(std::string_view text, std::size_t at = 0) : text_(text), at_(at) {}

  // The byte after white space; 0 at the end.
  char peek();
  // Takes `c`, after white space. false: something else is there.
  bool take(char c);
  // Takes a value of any kind. Nothing if there is none, or none that ends. Brackets of both kinds are counted
  // together.
  std::optional<std::string_view> value();
  std::size_t at() const { return at_; }

 private:
  std::string_view text_;
  std::size_t at_;
};

// What a string means, its quotes included in `text`. Nothing if it is none.
std::optional<std::string> string_meaning(std::string_view text);
// Whether a string means `word`, which needs no escapes.
bool means(std::string_view text, std::string_view word);

}  // namespace minerva::api
