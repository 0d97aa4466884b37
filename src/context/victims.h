// Which of the candidates have to leave so that a newcomer fits. A pure function on numbers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "context/ledger.h"

namespace minerva {

// Something that can be had back: what a model holds, or the part of it that it would keep while parked.
struct Departure {
  Footprint frees;
  bool slot = true;              // of max_models too
  std::size_t after = SIZE_MAX;  // makes sense only together with the candidate of this index, which has no such
  bool keeps_nothing = false;    // of a model that was, or could be, parked: its conversations would be lost
  std::optional<double> cost{};  // what is lost with it, if the policy can tell
};

// Indexes into `candidates`, ascending, none of which can be left out, so that `wanted` fits into each pool of `room`.
// Where the cost of each is known, a set of the least cost, and one that loses no conversation if that is enough;
// otherwise taken from the front. Nothing if all together are not enough. What `candidates` free is counted in `room`.
std::optional<std::vector<std::size_t>> choose_victims(Room room, const Footprint& wanted,
                                                       std::span<const Departure> candidates);

}  // namespace minerva
