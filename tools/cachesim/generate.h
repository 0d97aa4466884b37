// The built-in generator of traces: what a shared machine with many models sees, without anybody's data.
//
// Requests come in sessions: one user asks one model a few times. The models follow Zipf's law, popularity drifts, and
// the rate follows the time of day. Now and then somebody runs through many models once, as a benchmark or a crawler
// does.
// Threading: a pure function of the options.
#pragma once

#include <cstdint>

#include "cachesim/trace.h"

namespace minerva::cachesim {

struct GeneratorOptions {
  std::size_t models = 50;
  std::size_t users = 200;
  std::size_t requests = 20'000;
  std::uint64_t seed = 1;
  double zipf = 0.9;          // the model of rank r begins sessions in proportion to 1 / r^zipf
  double session = 4;         // requests of a session, as a mean, at least 1
  double session_gap_s = 60;  // between two of these, as a mean
  double request_gap_s = 60;  // between any two requests, as a mean over day and night
  double diurnal = 0.6;       // 0: an even rate; below 1
  double drift_hours = 6;     // until some model gets another rank, as a mean; 0: never
  double scan_hours = 48;     // between two scans, as a mean; 0: no scans
  double scan_share = 0.5;    // the part of all models in each scan
  double service_s = 20;      // of a request, as a mean
};

// Requires: models, users and requests > 0, and within the limits of a trace.
Trace generate(const GeneratorOptions& options);

}  // namespace minerva::cachesim
