// Random: seeded numbers that are the same everywhere. The distributions of <random> differ between libraries. Plain
// values.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

namespace minerva::cachesim {

class Random {
 public:
  explicit Random(std::uint64_t seed) : bits_(seed) {}

  // In [0, 1).
  double unit() {
    constexpr int kUnused = 11;  // a double holds 53 bits
    return static_cast<double>(bits_() >> kUnused) * 0x1.0p-53;
  }
  bool chance(double p) { return unit() < p; }
  // In [0, limit). Requires: limit > 0, and far below 2^53.
  std::size_t below(std::size_t limit) { return static_cast<std::size_t>(unit() * static_cast<double>(limit)); }
  // Exponentially distributed.
  double exponential(double mean) { return -mean * std::log1p(-unit()); }
  // Uniformly distributed on a logarithmic scale.
  double log_uniform(double low, double high) { return low * std::pow(high / low, unit()); }

 private:
  std::mt19937_64 bits_;
};

}  // namespace minerva::cachesim
