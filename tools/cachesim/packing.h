// Packing: a plan of what to keep, made with the whole trace at hand. Threading: a pure function.
#pragma once

#include <vector>

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

// For each request, whether the plan makes it a hit. All that the plan keeps fits at every request beside the model
// that is asked for, so whoever evicts nothing of it never has to. O(n log n).
// Requires: `world` was made for `trace`, and every model fits `capacity`.
std::vector<bool> plan_hits(const Trace& trace, const World& world, Bytes capacity);

}  // namespace minerva::cachesim
