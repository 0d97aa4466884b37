// TokenCounts: how many tokens a request has, and how fast they come. AnswerEnd: reads these counts from the end of an
// engine's answer.
//
// Plain values; one thread per AnswerEnd. No text of an answer is kept: only its last bytes are buffered, the numbers
// are read from them, and the buffer is overwritten.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace minerva::api {

struct TokenCounts {
  std::optional<std::uint64_t> prompt;  // with the cached ones
  std::optional<std::uint64_t> cached;  // found in the cache, and not read again
  std::optional<std::uint64_t> generated;
  std::optional<double> per_second;  // the current speed, or that of the whole generation once it has ended

  bool operator==(const TokenCounts&) const = default;
};

// Keeps the last bytes of an answer that passes by. Copies at most kSize bytes of a piece, and allocates nothing.
class AnswerEnd {
 public:
  void take(std::string_view piece);
  // Reads llama.cpp's `timings`, or else `usage`. A count that is in neither is not set.
  TokenCounts counts() const;

 private:
  static constexpr std::size_t kSize = 2048;

  std::array<char, kSize> ring_{};
  std::size_t at_ = 0;  // where the next byte goes
  bool full_ = false;
};

// The same from a text.
TokenCounts read_token_counts(std::string_view end_of_answer);

}  // namespace minerva::api
