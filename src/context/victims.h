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
  Bytes frees;
  bool slot = true;              // of max_models too
  std::size_t after = SIZE_MAX;  // makes sense only together with the candidate of this index
};

// Indexes into `candidates`, ascending: taken from the front until `wanted` fits into `room`, and none of them can be
// left out. Nothing if all together are not enough. What `candidates` free is counted in `room`.
std::optional<std::vector<std::size_t>> choose_victims(Room room, Bytes wanted, std::span<const Departure> candidates);

}  // namespace minerva
