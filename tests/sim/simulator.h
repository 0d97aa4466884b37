// The simulator: plays one seeded schedule against the real ContextManager, with a fake clock. Its fake engines are
// slow, hang, crash, lie and repeat themselves; its callers come in bursts, leave, and call operators' commands. A
// Referee watches every step.
//
// A schedule depends only on its seed. Threading: schedules are independent of each other; each runs on one thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "sim/referee.h"

namespace minerva::sim {

struct ScheduleResult {
  std::uint64_t seed = 0;
  std::uint64_t steps = 0;
  std::optional<std::string> broken;  // the broken invariant, in words
  std::string log;                    // every event and action, if asked for
  Coverage coverage;
};

// To be called once per process, before the first schedule: a failing check() then ends the schedule and not the
// process.
void catch_failed_checks();

ScheduleResult run_schedule(std::uint64_t seed, bool keep_log);

}  // namespace minerva::sim
