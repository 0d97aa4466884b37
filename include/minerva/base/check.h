// check(): always on, and only for bugs. Anything a user, a file or an engine can cause is a Result instead.
#pragma once

#include <source_location>
#include <string_view>

namespace minerva {

// Called first when a check fails. The handler may end the program or throw. When the handler returns, the check aborts
// as usual.
using CheckHandler = void (*)(std::string_view what, const std::source_location& where);
// For test programs that report what led to the failure. Returns the previous handler (nullptr: there was none).
CheckHandler set_check_handler(CheckHandler replacement);

// Prints the place and `what`, then aborts. Does not return.
[[noreturn]] void check_failed(std::string_view what, const std::source_location& where);

inline void check(bool condition, std::string_view what,
                  const std::source_location& where = std::source_location::current()) {
  if (!condition) [[unlikely]] {
    check_failed(what, where);
  }
}

}  // namespace minerva
