#include "context/victims.h"

#include <algorithm>

namespace minerva {

std::optional<std::vector<std::size_t>> choose_victims(Room room, Bytes wanted, std::span<const Bytes> candidates) {
  std::vector<std::size_t> chosen;
  for (std::size_t i = 0; i < candidates.size() && !room.fits(wanted); ++i) {
    room.give_back(candidates[i]);
    chosen.push_back(i);
  }
  if (!room.fits(wanted)) return std::nullopt;
  // A large one chosen late may have made earlier small ones unnecessary. Last chosen first: the policy wanted the
  // others gone before it.
  for (std::size_t i = chosen.size(); i-- > 0;) {
    Room without = room;
    without.take(candidates[chosen[i]]);
    if (!without.fits(wanted)) continue;
    room = without;
    chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return chosen;
}

}  // namespace minerva
