// Policies that know the trace: what an eviction policy could reach, had it known the future. References only.
//
// With sizes and costs that differ none of them is optimal (that problem is NP-hard), so there are several: whichever
// does best says how much there is to gain at least. Threading: one replay, one policy.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "cachesim/replay.h"

namespace minerva::cachesim {

// "belady" and its relatives.
std::vector<std::string> clairvoyant_names();
// For replays of `trace` in `world` with `capacity`. Requires: one of these names; trace and world outlive the maker
// and its policies.
PolicyMaker make_clairvoyant(std::string_view name, const Trace& trace, const World& world, Bytes capacity);

}  // namespace minerva::cachesim
