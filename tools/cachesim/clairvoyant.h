// Policies that know the trace: what an eviction policy could reach if it knew the future. They are references only.
//
// If sizes and costs differ, none of them is optimal (that problem is NP-hard). So there are several: the best of them
// says how much there is to gain at least. Threading: one replay, one policy.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cachesim/replay.h"

namespace minerva::cachesim {

// "belady" and its variants.
std::vector<std::string> clairvoyant_names();
// The policies for replays of `trace` in `world` with `capacity`. Requires: `name` is one of these; trace and world
// outlive the maker and its policies.
PolicyMaker make_clairvoyant(std::string_view name, const Trace& trace, const World& world, Bytes capacity);

}  // namespace minerva::cachesim
