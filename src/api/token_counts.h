// TokenCounts: how many tokens a request is about, and how fast they come. AnswerEnd: what an engine says of them where
// its answer ends.
//
// Plain values; one thread per AnswerEnd. Nothing of an answer's text is kept: of its last bytes the numbers are read
// and the rest is overwritten.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace minerva::api {

struct TokenCounts {
  std::optional<std::uint64_t> prompt;  // the cached ones among them
  std::optional<std::uint64_t> cached;  // that had not to be read again
  std::optional<std::uint64_t> generated;
  std::optional<double> per_second;  // of what goes on, or of the generation if that has ended

  bool operator==(const TokenCounts&) const = default;
};

// The last bytes of an answer that passes by. Costs a copy of a piece's last kSize bytes, and no memory.
class AnswerEnd {
 public:
  void take(std::string_view piece);
  // By llama.cpp's `timings`, or else by `usage`. Nothing is set of what neither says.
  TokenCounts counts() const;

 private:
  static constexpr std::size_t kSize = 2048;

  std::array<char, kSize> ring_{};
  std::size_t at_ = 0;  // where the next byte goes
  bool full_ = false;
};

// The same, in the text itself.
TokenCounts read_token_counts(std::string_view end_of_answer);

}  // namespace minerva::api
