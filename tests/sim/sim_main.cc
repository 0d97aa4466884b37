// minerva_sim: plays many schedules, or one schedule with its whole log. Exit code 0: all invariants held; 1: one was
// broken.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <thread>

#include "context/planted_bug.h"
#include "sim/simulator.h"

namespace {

// The last lines of a replay, where the fault is.
std::string_view tail(std::string_view log, int lines) {
  std::size_t start = log.size();
  for (int i = 0; i <= lines && start != std::string_view::npos && start > 0; ++i) start = log.rfind('\n', start - 1);
  return start == std::string_view::npos || start == 0 ? log : log.substr(start + 1);
}

#ifdef MINERVA_PLANTED_BUGS
void plant(const std::string& name) {
  for (std::size_t i = 0; i < minerva::kPlantedBugNames.size(); ++i) {
    if (minerva::kPlantedBugNames[i] == name) minerva::planted_bug_in_force = static_cast<minerva::PlantedBug>(i);
  }
}
#endif

// Plays the schedules with the seeds first, first + 1, ... on so many threads. Returns the exit status.
int play(std::uint64_t first, std::uint64_t seeds, unsigned threads, bool verbose) {
  std::atomic<std::uint64_t> next = first;
  std::atomic<std::uint64_t> steps = 0;
  std::atomic<std::uint64_t> lowest_failure = UINT64_MAX;
  std::mutex coverage_mutex;
  minerva::sim::Coverage coverage;
  const auto work = [&] {
    minerva::sim::Coverage mine;
    while (lowest_failure == UINT64_MAX) {
      const std::uint64_t seed = next.fetch_add(1);
      if (seed - first >= seeds) break;
      const minerva::sim::ScheduleResult result = minerva::sim::run_schedule(seed, /*keep_log=*/false);
      steps += result.steps;
      for (const auto& [what, count] : result.coverage) mine[what] += count;
      if (!result.broken) continue;
      std::uint64_t lowest = lowest_failure;
      while (seed < lowest && !lowest_failure.compare_exchange_weak(lowest, seed)) {
      }
    }
    const std::lock_guard lock(coverage_mutex);
    for (const auto& [what, count] : mine) coverage[what] += count;
  };
  std::vector<std::jthread> workers;
  for (unsigned i = 0; i < threads; ++i) workers.emplace_back(work);
  workers.clear();

  if (lowest_failure != UINT64_MAX) {
    constexpr int kShown = 60;
    const auto result = minerva::sim::run_schedule(lowest_failure, /*keep_log=*/true);
    fmt::print("{}\nbroken invariant: {}\nseed {}; all of it: minerva_sim --first {} --seeds 1 --verbose\n",
               tail(result.log, kShown), result.broken.value_or("not reproduced"), result.seed, result.seed);
    return 1;
  }
  if (verbose) {
    for (const auto& [what, count] : coverage) fmt::print("{:>12}  {}\n", count, what);
  }
  fmt::print("{} schedules, {} steps: every invariant held\n", seeds, steps.load());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t seeds = 1000;
  std::uint64_t first = 1;
  unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  bool verbose = false;
  CLI::App app("Plays seeded schedules against ContextManager and checks its invariants after every step.");
  app.add_option("--seeds", seeds, "how many schedules")->capture_default_str();
  app.add_option("--first", first, "the seed of the first")->capture_default_str();
  app.add_option("--threads", threads, "at once")->capture_default_str()->check(CLI::Range(1U, 1024U));
  app.add_flag("--verbose", verbose, "print every event and action (with --seeds 1), and what was covered");
#ifdef MINERVA_PLANTED_BUGS
  std::string bug;
  const std::vector<std::string> bugs(minerva::kPlantedBugNames.begin(), minerva::kPlantedBugNames.end());
  app.add_option("--bug", bug, "play with this bug in the core")->required()->check(CLI::IsMember(bugs));
#endif
  CLI11_PARSE(app, argc, argv);
#ifdef MINERVA_PLANTED_BUGS
  plant(bug);
#endif
  minerva::sim::catch_failed_checks();

  if (verbose && seeds == 1) {
    const minerva::sim::ScheduleResult result = minerva::sim::run_schedule(first, /*keep_log=*/true);
    fmt::print("{}", result.log);
    if (result.broken) fmt::print("broken invariant: {}\n", *result.broken);
    return result.broken ? 1 : 0;
  }

  return play(first, seeds, threads, verbose);
}
