// Plays a moderate number of schedules. Also tests that the simulator is worth something: it repeats exactly, and
// reaches every kind of thing that can happen.
#include <gtest/gtest.h>

#include "sim/simulator.h"

namespace minerva::sim {
namespace {

TEST(Simulator, EveryInvariantHoldsAndEveryCaseIsReached) {
  catch_failed_checks();
  Coverage coverage;
  for (std::uint64_t seed = 1; seed <= 2000; ++seed) {
    const ScheduleResult result = run_schedule(seed, /*keep_log=*/false);
    ASSERT_FALSE(result.broken) << "seed " << seed << ": " << *result.broken;
    for (const auto& [what, count] : result.coverage) coverage[what] += count;
  }
  for (const char* what : {"a guess is joined",
                           "a guess is used",
                           "a guess that died",
                           "a guess yields",
                           "abort",
                           "a resident model vanished",
                           "cancelled while waiting",
                           "comes back after a restart",
                           "crash in load",
                           "crash while hot",
                           "devices change",
                           "evicted",
                           "evicted by parking",
                           "evicted for other programs",
                           "evicted for an image",
                           "evicted to shrink",
                           "evicted under pressure",
                           "evicted, parked ones hold too much",
                           "exit after kill",
                           "exit after stop",
                           "file replaced while it is inspected",
                           "file replaced while it is used",
                           "file replaced while it loads",
                           "file replaced while it parks or is parked",
                           "file replaced while it wakes",
                           "footprint measured",
                           "grant",
                           "grant of a second engine",
                           "hit that had to wait",
                           "look",
                           "reject model_not_loaded",
                           "image cleared",
                           "inspect",
                           "kill",
                           "kill of one that parks or wakes",
                           "lease lost",
                           "load done",
                           "load of a hot model",
                           "load that evicted",
                           "loaded on a guess",
                           "no room for a load",
                           "other programs change devices",
                           "outdated engine replaced",
                           "outdated in load",
                           "outdated model comes back",
                           "outdated while busy",
                           "outdated while idle",
                           "outdated while inspected",
                           "outdated while parked",
                           "pages dropped",
                           "pages make way",
                           "woken in the place of other files",
                           "park refused",
                           "parked",
                           "parked by an operator",
                           "parked when idle",
                           "pin lifted by force",
                           "placed elsewhere",
                           "preload that evicted",
                           "probe",
                           "read ahead",
                           "read ahead on a guess",
                           "reject conflict",
                           "reject draining",
                           "reject engine_crashed",
                           "reject engine_timeout",
                           "reject invalid_model",
                           "reject memory_budget_exceeded",
                           "reject model_not_found",
                           "reject model_quarantined",
                           "reject no_capacity",
                           "reject queue_full",
                           "rejected after its engine died",
                           "replaced file noticed by engine that is ready",
                           "replaced file noticed by request",
                           "replaced file noticed by watch",
                           "restart",
                           "room on a device",
                           "sent elsewhere",
                           "shed for a device",
                           "shed under pressure",
                           "spawn",
                           "stop of a parked one",
                           "stop while loading",
                           "stopped when idle",
                           "tried again after a pause",
                           "unload done",
                           "unload of a cold model",
                           "uses counted on after a restart",
                           "waiting limits changed",
                           "waiting limits changed in load",
                           "waiting limits changed over full queues",
                           "wake refused",
                           "woken",
                           "woken on a guess",
                           "yields while it comes back"}) {
    EXPECT_GT(coverage[what], 0U) << what;
  }
}

TEST(Simulator, ASeedRepeatsExactly) {
  catch_failed_checks();
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_EQ(run_schedule(seed, true).log, run_schedule(seed, true).log);
  }
  EXPECT_NE(run_schedule(1, true).log, run_schedule(2, true).log);
}

}  // namespace
}  // namespace minerva::sim
