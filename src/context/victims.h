// Which of the candidates have to leave so that a claimant fits. A pure function on numbers; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "context/ledger.h"

namespace minerva {

// What the room gets back if a model parks or stops, or if a model that parks, or has parked, stops as well.
struct Departure {
  Footprint frees;
  bool ends_active = true;       // an active engine parks or stops: max_models has a place more
  std::size_t after = SIZE_MAX;  // possible only together with the candidate of this index, which has no such index
  bool keeps_nothing = false;    // the model could stay parked, and loses its conversations
  std::optional<double> cost{};  // of what is lost with it, if the policy can tell
};

// Indexes into `candidates`, ascending: a set of which none can be left out, and after which `wanted` fits into each
// pool of `room`. If the cost of each candidate is known, the set has the least cost, and no conversation is lost if
// the others are enough. Otherwise the set is taken from the front. Nothing if all candidates together are not enough.
// `room` counts as taken what the candidates hold.
std::optional<std::vector<std::size_t>> choose_victims(Room room, const Footprint& wanted,
                                                       std::span<const Departure> candidates);

}  // namespace minerva
