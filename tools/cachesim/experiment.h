// Experiment: measures all policies and references on one trace, at several capacities, with several seeds for what the
// trace does not say, and sums them up. A pure function of the trace and the options, whatever number of threads do the
// work.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cachesim/trace.h"

namespace minerva::cachesim {

struct ExperimentOptions {
  std::vector<double> capacities = {8, 15, 30};  // percent of the bytes of all models
  std::size_t seeds = 10;             // the seeds are 1, 2, ...; there is one if the trace leaves nothing to draw
  std::vector<std::string> policies;  // names from the registry; "lru" is always measured
  bool timed = false;
  bool predict = false;  // measures each policy once more, with likely models preloaded
  unsigned jobs = 1;
  std::function<void(std::size_t done, std::size_t all)> progress = nullptr;  // called by one thread at a time
};

enum class Kind {
  kPolicy,
  kClairvoyant,
  kBound,     // computed: no policy
  kInfinite,  // with memory for all models
};

struct Spread {
  double mean = 0;
  double deviation = 0;  // standard deviation of a sample; 0 if there is one value
};

// What became of guesses, as a mean over the seeds.
struct GuessFigures {
  double made = 0;
  double used = 0;
  double wasted = 0;
  double saved_s = 0;    // of waiting
  double wasted_gb = 0;  // 10^9 bytes
};

// The replays of one policy at one capacity, over the seeds.
struct Row {
  std::string name;
  Kind kind = Kind::kPolicy;
  Spread cold_wait_s;  // of all loads together
  // A bound does not have these:
  double hit_rate = 0;   // percent
  double loaded_gb = 0;  // 10^9 bytes
  Spread wait_s;         // of a request, as a mean
  double p50_wait_s = 0;
  double p99_wait_s = 0;
  std::optional<GuessFigures> guesses;  // if the policy predicts
  // How much of the way from lru to the best clairvoyant; nothing if that is not better.
  std::optional<double> gap_closed;
};

struct Table {
  double capacity = 0;     // percent
  double capacity_gb = 0;  // as a mean
  std::vector<Row> rows;   // policies, clairvoyants, bound, infinite memory
  std::string best_clairvoyant;
};

struct Report {
  std::size_t requests = 0;
  std::size_t models = 0;
  std::size_t seeds = 0;
  bool timed = false;  // compares policies by wait_s; otherwise by cold_wait_s
  std::vector<Table> tables;
};

// Errors: kInvalidArgument: there is no such policy.
Result<Report> run_experiment(const Trace& trace, const ExperimentOptions& options);

}  // namespace minerva::cachesim
