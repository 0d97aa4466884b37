// Turns: what `queue.min_residency` costs and gains where models of equal size take turns in the memory of one.
//
// Every model is asked all the time, at random and equally often: the worst that can happen to a machine that holds one
// of them. Each switch takes as long as a wake, a load from the page cache or one from disk. A longer minimum residency
// serves more requests per switch, and lets the others wait longer. Threading: a pure function of the options.
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
  Duration between = std::chrono::milliseconds(200);  // two requests of one model, on average
  Duration service = std::chrono::seconds(1);         // of a request
  std::size_t requests = 20'000;
  std::uint64_t seed = 1;
};

struct TurnsRow {
  std::size_t models = 0;
  Duration switch_takes{};
  Duration residency{};
  double switches_per_s = 0;
  double switching = 0;  // share of the time, in percent
  double p50_wait_s = 0;
  double p99_wait_s = 0;
  double longest_wait_s = 0;
};

std::vector<TurnsRow> measure_turns(const TurnsOptions& options);
std::string to_text(const std::vector<TurnsRow>& rows);

}  // namespace minerva::cachesim
