#include "cachesim/turns.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "cachesim/replay.h"

namespace minerva::cachesim {
namespace {

constexpr Bytes kModelSize = Bytes::mib(1000);

Trace random_trace(const TurnsOptions& options, std::size_t models, Duration switch_takes) {
  Trace trace;
  trace.users = {"everybody"};
  for (std::size_t i = 0; i < models; ++i) {
    trace.models.push_back({.id = fmt::format("m{}", i), .size = kModelSize, .reload = switch_takes});
  }
  std::mt19937_64 random(options.seed);
  const double seconds = std::chrono::duration<double>(options.between).count() / static_cast<double>(models);
  std::exponential_distribution<double> gap(1 / seconds);
  std::uniform_int_distribution<std::uint32_t> any(0, static_cast<std::uint32_t>(models - 1));
  double at = 0;
  for (std::size_t i = 0; i < options.requests; ++i) {
    at += gap(random);
    trace.requests.push_back({.arrival = std::chrono::duration_cast<Duration>(std::chrono::duration<double>(at)),
                              .model = any(random),
                              .service = options.service});
  }
  return trace;
}

}  // namespace

std::vector<TurnsRow> measure_turns(const TurnsOptions& options) {
  std::vector<TurnsRow> rows;
  for (const std::size_t models : options.models) {
    for (const Duration switch_takes : options.switches) {
      const Trace trace = random_trace(options, models, switch_takes);
      const World world = make_world(trace, options.seed);
      for (const Duration residency : options.residencies) {
        Outcome outcome = replay(trace, world, [](const Progress&) { return make_policy("lru").value(); },
                                 {.capacity = kModelSize, .timed = true, .min_residency = residency});
        const double span = in_seconds(trace.requests.back().arrival);
        std::sort(outcome.waits.begin(), outcome.waits.end());
        const auto wait_at = [&](double share) {
          return in_seconds(
              outcome.waits[static_cast<std::size_t>(share * static_cast<double>(outcome.waits.size() - 1))]);
        };
        rows.push_back({.models = models,
                        .switch_takes = switch_takes,
                        .residency = residency,
                        .switches_per_s = in_seconds(outcome.cold_wait) / in_seconds(switch_takes) / span,
                        .switching = 100 * in_seconds(outcome.cold_wait) / span,
                        .p50_wait_s = wait_at(0.5),
                        .p99_wait_s = wait_at(0.99),
                        .longest_wait_s = wait_at(1)});
      }
    }
  }
  return rows;
}

std::string to_text(const std::vector<TurnsRow>& rows) {
  std::string text = fmt::format("{:>6} {:>9} {:>14} {:>11} {:>10} {:>9} {:>9} {:>9}\n", "models", "switch",
                                 "min_residency", "switches/s", "switching", "p50 wait", "p99 wait", "longest");
  for (const TurnsRow& row : rows) {
    text += fmt::format("{:>6} {:>7.1f} s {:>12.1f} s {:>11.3f} {:>8.1f} % {:>7.1f} s {:>7.1f} s {:>7.1f} s\n",
                        row.models, in_seconds(row.switch_takes), in_seconds(row.residency), row.switches_per_s,
                        row.switching, row.p50_wait_s, row.p99_wait_s, row.longest_wait_s);
  }
  return text;
}

}  // namespace minerva::cachesim
