#include "api/json_text.h"

#include <algorithm>
#include <array>

#include "api/json.h"

namespace minerva::api {
namespace {

constexpr std::array<bool, 256> table_of(std::string_view characters) {
  std::array<bool, 256> table{};
  for (const char c : characters) table[static_cast<unsigned char>(c)] = true;
  return table;
}
constexpr std::array<bool, 256> kSpace = table_of(" \t\n\r");
constexpr std::array<bool, 256> kBeginsOrEnds = table_of("\"{}[]");
constexpr std::array<bool, 256> kEndsScalar = table_of(",}]:\"{[ \t\n\r");

// The position of the first character of `table`, from `at` on.
std::size_t find(const std::array<bool, 256>& table, std::string_view text, std::size_t at) {
  while (at < text.size() && !table[static_cast<unsigned char>(text[at])]) ++at;
  return at;
}

}  // namespace

std::size_t next_structure(std::string_view text, std::size_t at) { return find(kBeginsOrEnds, text, at); }

// Most strings are short, and some are long. So this looks at a few bytes one by one, and then searches for the quote.
// A quote ends the string if it follows no backslash, or an even number of them.
std::size_t string_end(std::string_view text, std::size_t at) {
  constexpr std::size_t kFew = 16;
  for (const std::size_t few = std::min(at + kFew, text.size()); at < few; ++at) {
    if (text[at] == '"') return at + 1;
    if (text[at] == '\\') ++at;
  }
  const std::size_t begin = at;
  while (true) {
    const std::size_t quote = text.find('"', at);
    if (quote == std::string_view::npos) return quote;
    std::size_t backslash = quote;
    while (backslash > begin && text[backslash - 1] == '\\') --backslash;
    at = quote + 1;
    if ((quote - backslash) % 2 == 0) return at;
  }
}

char JsonReader::peek() {
  while (at_ < text_.size() && kSpace[static_cast<unsigned char>(text_[at_])]) ++at_;
  return at_ < text_.size() ? text_[at_] : '\0';
}

bool JsonReader::take(char c) {
  if (peek() != c || at_ == text_.size()) return false;
  ++at_;
  return true;
}

std::optional<std::string_view> JsonReader::value() {
  const char first = peek();
  const std::size_t begin = at_;
  std::size_t depth = 0;
  if (first == '"' || first == '{' || first == '[') {
    do {
      const std::size_t next = next_structure(text_, at_);
      if (next == text_.size()) return std::nullopt;
      at_ = next + 1;
      const char c = text_[next];
      if (c == '"') {
        at_ = string_end(text_, at_);
        if (at_ == std::string_view::npos) return std::nullopt;
      } else if (c == '{' || c == '[') {
        ++depth;
      } else {
        --depth;
      }
    } while (depth > 0);
  } else {
    at_ = find(kEndsScalar, text_, at_);
  }
  if (at_ == begin) return std::nullopt;
  return text_.substr(begin, at_ - begin);
}

std::optional<std::string> string_meaning(std::string_view text) {
  if (text.size() < 2 || !text.starts_with('"') || !text.ends_with('"')) return std::nullopt;
  if (text.find('\\') == std::string_view::npos) return std::string(text.substr(1, text.size() - 2));
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_string()) return std::nullopt;
  return json.get<std::string>();
}

bool means(std::string_view text, std::string_view word) {
  constexpr std::size_t kLongestEscape = 6;  // bytes of one escaped character
  if (text.size() > kLongestEscape * word.size() + 2) return false;
  if (text.find('\\') != std::string_view::npos) return string_meaning(text) == word;
  return text.size() == word.size() + 2 && text.starts_with('"') && text.substr(1, word.size()) == word;
}

}  // namespace minerva::api
