// Reuses: every chance in a trace to have a model still in memory at its next request, the most worthwhile first. The
// bound and the plan of packing.h are computed from these. Threading: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

// Two requests for one model, with none between. If the model stays for the `moments()` between them, the second is a
// hit. At the two requests themselves the model is there in any case, as it has the lease.
struct Reuse {
  std::uint32_t model = 0;
  std::size_t from = 0;
  std::size_t to = 0;
  double saves_s = 0;
  double space_time = 0;  // bytes * moments

  std::size_t moments() const { return to - from - 1; }
};

// Sorted by the savings for each byte and moment. That is infinite if there is no moment between.
std::vector<Reuse> reuses_by_worth(const Trace& trace, const World& world);

}  // namespace minerva::cachesim
