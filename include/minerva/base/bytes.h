// Bytes: an amount of memory or disk, in bytes. A type of its own so that MiB and bytes are not mixed up.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "minerva/base/result.h"

namespace minerva {

class Bytes {
 public:
  constexpr Bytes() = default;
  constexpr explicit Bytes(std::uint64_t count) : count_(count) {}
  static constexpr Bytes mib(std::uint64_t n) { return Bytes(n << 20); }
  static constexpr Bytes gib(std::uint64_t n) { return Bytes(n << 30); }

  constexpr std::uint64_t count() const { return count_; }
  // Rounded to the nearest MiB: the `_mb` of every answer.
  constexpr std::uint64_t rounded_mib() const { return (count_ + (std::uint64_t{1} << 19)) >> 20; }

  constexpr auto operator<=>(const Bytes&) const = default;
  // Saturating: sums of untrusted sizes must not wrap, and a difference is never negative.
  constexpr Bytes operator+(Bytes other) const {
    const std::uint64_t sum = count_ + other.count_;
    return Bytes(sum < count_ ? UINT64_MAX : sum);
  }
  constexpr Bytes operator-(Bytes other) const { return Bytes(other.count_ > count_ ? 0 : count_ - other.count_); }
  constexpr Bytes& operator+=(Bytes other) { return *this = *this + other; }
  constexpr Bytes& operator-=(Bytes other) { return *this = *this - other; }

 private:
  std::uint64_t count_ = 0;
};

// Reads "1536", "512MiB", "2GiB", "1.5G", "300kB". The units k, M, G, T, alone or with B, are powers of 1000 if B
// follows, and of 1024 if iB follows or nothing. Errors: kInvalidArgument with what was expected.
Result<Bytes> parse_bytes(std::string_view text);

// "512 MiB", "1.5 GiB": for people.
std::string format_bytes(Bytes bytes);

}  // namespace minerva
