// Time as the core sees it: a point of a monotonic clock. The caller hands it in; the core never reads a clock.
#pragma once

#include <chrono>
#include <string>

namespace minerva {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

// For people, rounded down to one unit: "85 ms", "35 s", "12 min", "3 h", "2 days".
std::string in_words(Duration span);

}  // namespace minerva
