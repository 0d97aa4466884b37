// Touches memory unseen by a sanitizer: the sanitizer's shadow of it would count as this process's memory too.
#pragma once

#include <cstddef>

namespace minerva::engine {

inline constexpr std::size_t kTouched = 4096;  // one byte in so many is touched

[[gnu::noinline, clang::no_sanitize("thread", "address")]] inline void write_plainly(volatile char* first,
                                                                                     std::size_t bytes, char value) {
  for (std::size_t i = 0; i < bytes; i += kTouched) first[i] = value;
}

// Whether all of these bytes have that value.
[[gnu::noinline, clang::no_sanitize("thread", "address")]] inline bool reads_plainly(const volatile char* first,
                                                                                     std::size_t bytes, char value) {
  for (std::size_t i = 0; i < bytes; i += kTouched) {
    if (first[i] != value) return false;
  }
  return true;
}

}  // namespace minerva::engine
