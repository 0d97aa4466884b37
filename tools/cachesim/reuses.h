// Reuses: every chance of a trace to have a model in memory when it is asked for again, the most worthwhile first. What
// the bound and the plan of packing.h start from. Threading: pure functions.
#pragma once

#include <cstdint>
#include <vector>

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

// Two requests for one model with none between: if it stays for the `moments()` between them, the second is a hit. At
// the requests themselves it is there in any case, as it has the lease.
struct Reuse {
  std::uint32_t model = 0;
  std::size_t from = 0;
  std::size_t to = 0;
  double saves_s = 0;
  double space_time = 0;  // bytes * moments

  std::size_t moments() const { return to - from - 1; }
};

// By what is saved for each byte and moment, which is infinite if there is no moment between.
std::vector<Reuse> reuses_by_worth(const Trace& trace, const World& world);

}  // namespace minerva::cachesim
