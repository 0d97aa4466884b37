#include "sim/simulator.h"

#include "minerva/base/check.h"
#include "sim/world.h"

namespace minerva::sim {

void catch_failed_checks() {
  set_check_handler([](std::string_view what, const std::source_location&) { broken(std::string(what)); });
}

ScheduleResult run_schedule(std::uint64_t seed, bool keep_log) {
  World world(seed, keep_log);
  ScheduleResult result = world.play();
  result.seed = seed;
  return result;
}

}  // namespace minerva::sim
