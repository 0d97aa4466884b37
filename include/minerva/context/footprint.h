// Footprint: bytes in each pool of memory: the host's, and those of up to four devices.
//
// Nearly everybody has one pool, the host's: a number of bytes is a footprint in it. Threading: plain values.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "minerva/base/bytes.h"

namespace minerva {

class Footprint {
 public:
  static constexpr std::size_t kHost = 0;
  static constexpr std::size_t kMostDevices = 4;
  static constexpr std::size_t kPools = 1 + kMostDevices;  // the host's, then the devices' in the order of the options

  constexpr Footprint() = default;
  // In the host's memory alone.
  constexpr Footprint(Bytes host) { pools_[kHost] = host; }  // NOLINT(google-explicit-constructor): see above
  // More than there is of any memory.
  static constexpr Footprint unbounded() {
    Footprint most;
    most.pools_.fill(Bytes(UINT64_MAX));
    return most;
  }

  constexpr Bytes host() const { return pools_[kHost]; }
  // Requires: pool < kPools.
  constexpr Bytes of(std::size_t pool) const { return pools_[pool]; }
  constexpr void set(std::size_t pool, Bytes bytes) { pools_[pool] = bytes; }
  constexpr Bytes total() const {
    Bytes sum;
    for (const Bytes bytes : pools_) sum += bytes;
    return sum;
  }
  // No more than `other` in any pool.
  constexpr bool within(const Footprint& other) const {
    for (std::size_t i = 0; i < kPools; ++i) {
      if (pools_[i] > other.pools_[i]) return false;
    }
    return true;
  }
  // As Bytes do, in each pool: saturating.
  constexpr Footprint& operator+=(const Footprint& other) {
    for (std::size_t i = 0; i < kPools; ++i) pools_[i] += other.pools_[i];
    return *this;
  }
  constexpr Footprint& operator-=(const Footprint& other) {
    for (std::size_t i = 0; i < kPools; ++i) pools_[i] -= other.pools_[i];
    return *this;
  }
  friend constexpr Footprint operator+(Footprint a, const Footprint& b) { return a += b; }
  friend constexpr Footprint operator-(Footprint a, const Footprint& b) { return a -= b; }
  friend constexpr bool operator==(const Footprint& a, const Footprint& b) = default;

  // The smaller, and the larger, of each pool.
  friend constexpr Footprint least(const Footprint& a, const Footprint& b) { return a - (a - b); }
  friend constexpr Footprint most(const Footprint& a, const Footprint& b) {
    Footprint larger;
    for (std::size_t i = 0; i < kPools; ++i) larger.pools_[i] = std::max(a.pools_[i], b.pools_[i]);
    return larger;
  }

 private:
  std::array<Bytes, kPools> pools_{};
};

}  // namespace minerva
