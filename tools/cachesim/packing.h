// Packing: a plan of what to keep, made from the whole trace. Threading: a pure function.
#pragma once

#include <vector>

#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

// For each request, whether the plan makes it a hit. At every request all that the plan keeps fits beside the requested
// model, so a policy that follows the plan never has to evict any of it. O(n log n).
// Requires: `world` was made for `trace`, and every model fits `capacity`.
std::vector<bool> plan_hits(const Trace& trace, const World& world, Bytes capacity);

}  // namespace minerva::cachesim
