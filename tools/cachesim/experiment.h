// Experiment: all policies and references on one trace, at several capacities and with several seeds for what the trace
// does not say, summed up. A pure function of the trace and the options, however many threads share the work.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cachesim/trace.h"

namespace minerva::cachesim {

struct ExperimentOptions {
  std::vector<double> capacities = {8, 15, 30};  // percent of all bytes
  std::size_t seeds = 10;                        // 1, 2, ...; one if the trace leaves nothing to draw
  std::vector<std::string> policies;             // registered names; "lru" is measured in any case
  bool timed = false;
  bool predict = false;  // each policy is measured a second time, with models preloaded that are likely to be asked for
  unsigned jobs = 1;
  std::function<void(std::size_t done, std::size_t all)> progress = nullptr;  // called by one thread at a time
};

enum class Kind {
  kPolicy,
  kClairvoyant,
  kBound,     // computed, no policy
  kInfinite,  // memory for all
};

struct Spread {
  double mean = 0;
  double deviation = 0;  // standard, of a sample; 0 if there is one value
};

// What became of preloads on a guess, on average over the seeds.
struct GuessFigures {
  double made = 0;
  double used = 0;
  double wasted = 0;
  double saved_s = 0;    // of waiting
  double wasted_gb = 0;  // 10^9 bytes
};

// Of the replays of one policy at one capacity: over the seeds.
struct Row {
  std::string name;
  Kind kind = Kind::kPolicy;
  Spread cold_wait_s;  // of all loads together
  // Not of a bound:
  double hit_rate = 0;   // percent
  double loaded_gb = 0;  // 10^9 bytes
  Spread wait_s;         // of a request, on average
  double p50_wait_s = 0;
  double p99_wait_s = 0;
  std::optional<GuessFigures> guesses;  // if it predicts
  // Of the way from lru to the best clairvoyant; nothing if that is not better.
  std::optional<double> gap_closed;
};

struct Table {
  double capacity = 0;     // percent
  double capacity_gb = 0;  // on average
  std::vector<Row> rows;   // policies, clairvoyants, bound, infinite memory
  std::string best_clairvoyant;
};

struct Report {
  std::size_t requests = 0;
  std::size_t models = 0;
  std::size_t seeds = 0;
  bool timed = false;  // policies are compared by wait_s then, and by cold_wait_s otherwise
  std::vector<Table> tables;
};

// Errors: kInvalidArgument: a policy that does not exist.
Result<Report> run_experiment(const Trace& trace, const ExperimentOptions& options);

}  // namespace minerva::cachesim
