// Workload: what this machine's models were asked for, ready to be replayed: a trace with sizes and load times as far
// as they are known here, and what share of it the memory budget is.
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
  // The budget as percent of all these models together, 100 at most. Nothing: no size is known, and all are drawn.
  std::optional<double> capacity;
  std::vector<std::string> notes;  // in sentences: what was left out, what is not measured
};

// What the server of `config` recorded: its files, in no order.
std::vector<std::string> recorded_traces(const Config& config);

// The requests of all `files`. A model is as large as it was measured or inspected to be, else as its file; and as
// expensive as its loads were, or its wakes where it is parked. What the trace itself says of models counts more.
// Errors: those of cachesim::read_trace; kInvalidArgument if no model of the trace fits the budget.
Result<Workload> read_workload(const Config& config, const std::vector<std::string>& files);

}  // namespace minerva::cli
