// Turns: what `queue.min_residency` costs and gains if models of equal size take turns in memory for one of them.
//
// Every model gets requests all the time, at random and equally often: this is the worst case for a machine that has
// room for one model. A switch takes as long as a wake, as a load from the page cache, or as a load from disk. A longer
// minimum residency serves more requests per switch, and makes the other models wait longer. Threading: a pure function
// of the options.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "minerva/base/clock.h"

namespace minerva::cachesim {

struct TurnsOptions {
  std::vector<std::size_t> models = {2, 10};
  std::vector<Duration> switches = {std::chrono::milliseconds(100), std::chrono::seconds(1), std::chrono::seconds(5)};
  std::vector<Duration> residencies = {Duration::zero(), std::chrono::milliseconds(500), std::chrono::seconds(2),
                                       std::chrono::seconds(5), std::chrono::seconds(10)};
  Duration between = std::chrono::milliseconds(200);  // between two requests for one model, as a mean
  Duration service = std::chrono::seconds(1);         // of a request
  std::size_t requests = 20'000;
  std::uint64_t seed = 1;
};

struct TurnsRow {
  std::size_t models = 0;
  Duration switch_takes{};
  Duration residency{};
  double switches_per_s = 0;
  double switching = 0;  // percent of the time
  double p50_wait_s = 0;
  double p99_wait_s = 0;
  double longest_wait_s = 0;
};

std::vector<TurnsRow> measure_turns(const TurnsOptions& options);
std::string to_text(const std::vector<TurnsRow>& rows);

}  // namespace minerva::cachesim
