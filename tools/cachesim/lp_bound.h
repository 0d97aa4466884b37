// The tightest of the lower bounds, as far as linear programming can find it. Threading: a pure function.
#pragma once

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

// A lower bound on the cold-wait of a closed loop, in seconds, for every policy that loads on demand. It is at least
// pfoo_lower_bound_s(). More `rounds` bring it closer to the best bound; each round is O(n).
// Requires: `world` was made for `trace`, and every model fits `capacity`.
double lp_lower_bound_s(const Trace& trace, const World& world, Bytes capacity, int rounds = 1000);

}  // namespace minerva::cachesim
