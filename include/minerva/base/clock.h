// Time as the core sees it: a monotonic point that is always handed in, never read.
#pragma once

#include <chrono>
#include <string>

namespace minerva {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

// For people, cut to one unit: "85 ms", "35 s", "12 min", "3 h", "2 days".
std::string in_words(Duration span);

}  // namespace minerva
