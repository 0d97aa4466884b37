// The simulator: plays one seeded schedule against the real ContextManager, with a fake clock and fake engines that are
// slow, hang, crash, lie and repeat themselves, and callers who come in bursts, leave, and call operators' commands.
// A Referee watches every step.
//
// A schedule depends on nothing but its seed. Threading: schedules are independent of each other; each runs on one
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/referee.h"

namespace minerva::sim {

struct ScheduleResult {
  std::uint64_t seed = 0;
  std::uint64_t steps = 0;
  std::optional<std::string> broken;  // the invariant, in words
  std::string log;                    // every event and action, if asked for
  Coverage coverage;
};

// Once per process, before the first schedule: a failing check() ends the schedule instead of the process.
void catch_failed_checks();

ScheduleResult run_schedule(std::uint64_t seed, bool keep_log);

}  // namespace minerva::sim
