// Verdict: what a comparison of policies means for an operator who uses one of them.
//
// Plain functions; any thread.
#pragma once

#include <string>

#include "cachesim/experiment.h"

namespace minerva::cli {

struct Verdict {
  std::string best;    // a policy; the one in use if none is better
  double saves_s = 0;  // how much less time requests would wait for loads with `best`
  std::string sentence;
};

// Requires: the table has a row for `in_use`.
Verdict verdict(const cachesim::Table& table, const std::string& in_use);

}  // namespace minerva::cli
