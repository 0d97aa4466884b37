// Which of the candidates have to leave so that a newcomer fits. A pure function on numbers.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "context/ledger.h"

namespace minerva {

// Indexes into `candidates`, ascending: taken from the front until `wanted` fits into `room`, and none of them can be
// left out. Nothing if all together are not enough. `candidates` are footprints counted in `room`.
std::optional<std::vector<std::size_t>> choose_victims(Room room, Bytes wanted, std::span<const Bytes> candidates);

}  // namespace minerva
