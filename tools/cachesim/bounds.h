// Lower bounds: how little no policy can wait, computed from the trace. Threading: pure functions.
#pragma once

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

// PFOO-L: a lower bound on the cold-wait of a closed loop, in seconds, for every policy that loads on demand. bounds.cc
// proves it. Requires: `world` was made for `trace`, and every model fits `capacity`.
double pfoo_lower_bound_s(const Trace& trace, const World& world, Bytes capacity);

// The cold-wait with memory for all models at once, in seconds: each model is loaded once.
double infinite_memory_s(const Trace& trace, const World& world);

}  // namespace minerva::cachesim
