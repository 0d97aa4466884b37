// Time as the core sees it: a monotonic point that is always handed in, never read.
#pragma once

#include <chrono>

namespace minerva {

using Clock = std::chrono::steady_clock;
using TimePoint = Clock::time_point;
using Duration = Clock::duration;

}  // namespace minerva
