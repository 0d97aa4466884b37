#include "context/victims.h"

#include <algorithm>

namespace minerva {

std::optional<std::vector<std::size_t>> choose_victims(Room room, Bytes wanted, std::span<const Departure> candidates) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < candidates.size() && !room.fits(wanted); ++i) {
    room.give_back(candidates[i].frees, candidates[i].slot);
    chosen.push_back(i);
  }
  if (!room.fits(wanted)) return std::nullopt;
  // A large one chosen late may have made earlier small ones unnecessary. Last chosen first: the policy wanted the
  // others gone before it.
  for (std::size_t i = chosen.size(); i-- > 0;) {
    const bool needed = std::any_of(chosen.begin(), chosen.end(),
                                    [&](std::size_t other) { return candidates[other].after == chosen[i]; });
    if (needed) continue;
    const Departure& candidate = candidates[chosen[i]];
    Room without = room;
    without.committed += candidate.frees;
    without.slots += candidate.slot ? 1 : 0;
    if (!without.fits(wanted)) continue;
    room = without;
    chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return chosen;
}

}  // namespace minerva
