// Workload: the requests on this machine, ready to be replayed: a trace with sizes and load times as far as they are
// known here, and the memory budget as a share of it.
//
// Threading: one thread; reading blocks. It changes nothing on disk.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cachesim/trace.h"
#include "config/config.h"

namespace minerva::cli {

struct Workload {
  cachesim::Trace trace;
  Bytes budget;
  // The budget as percent of the size of all these models, at most 100. Nothing: no size is known, and all sizes are
  // drawn at random.
  std::optional<double> capacity;
  std::vector<std::string> notes;  // sentences about what was left out, and what is not measured
};

// The trace files that the server of `config` recorded, in no order.
std::vector<std::string> recorded_traces(const Config& config);

// Reads the requests of all `files`. A model's size is what was measured or inspected, else its file's size. Its reload
// costs what its loads took, or its wakes where it is parked. What the trace itself says about a model takes
// precedence.
// Errors: those of cachesim::read_trace; kInvalidArgument if no model of the trace fits the budget.
Result<Workload> read_workload(const Config& config, const std::vector<std::string>& files);

}  // namespace minerva::cli
