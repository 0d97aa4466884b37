// Verdict: what a comparison of policies says to whoever runs one of them.
//
// Plain functions; any thread.
#pragma once

#include <string>

#include "cachesim/experiment.h"

namespace minerva::cli {

struct Verdict {
  std::string best;    // policy; the one in use if none is better
  double saves_s = 0;  // of waiting for loads, if it took the place of the one in use
  std::string sentence;
};

// Requires: the table has a row for `in_use`.
Verdict verdict(const cachesim::Table& table, const std::string& in_use);

}  // namespace minerva::cli
