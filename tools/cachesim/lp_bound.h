// The tightest of the bounds: what no policy can do better than, as far as linear programming can tell. Threading: a
// pure function.
#pragma once

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

// A lower bound on the cold-wait of a closed loop, in seconds, of every policy that loads on demand: at least that of
// pfoo_lower_bound_s, and the closer to the best there is the more `rounds` it is given, each O(n).
// Requires: `world` was made for `trace`, and every model fits `capacity`.
double lp_lower_bound_s(const Trace& trace, const World& world, Bytes capacity, int rounds = 1000);

}  // namespace minerva::cachesim
