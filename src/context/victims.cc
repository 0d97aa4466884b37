#include "context/victims.h"

#include <algorithm>
#include <numeric>

#include "minerva/base/check.h"

namespace minerva {
namespace {

using Indexes = std::vector<std::size_t>;

std::optional<Indexes> from_the_front(Room room, Bytes wanted, std::span<const Departure> candidates) {
  Indexes chosen;
  for (std::size_t i = 0; i < candidates.size() && !room.fits(wanted); ++i) {
    room.give_back(candidates[i].frees, candidates[i].slot);
    chosen.push_back(i);
  }
  if (!room.fits(wanted)) return std::nullopt;
  return chosen;
}

// What a set of victims costs; of equal ones, the one that the policy's order prefers.
struct Price {
  double cost = 0;
  std::size_t places = 0;
  auto operator<=>(const Price&) const = default;
};

// The cheapest of the candidates at `offered`: a knapsack over bytes in kUnits-ths of what is lacking, and over slots.
// Sizes are rounded down, so what is found is enough; what only just is enough may be missed, but not so many of equal
// size (hence the number of units).
std::optional<Indexes> cheapest(const Room& room, Bytes wanted, std::span<const Departure> candidates,
                                const Indexes& offered) {
  constexpr std::size_t kUnits = 240;
  constexpr double kInexact = 1e-9;
  const Bytes needed = room.committed + wanted;
  const double lacking = needed > room.budget ? static_cast<double>((needed - room.budget).count()) : 0.0;
  const std::size_t units = lacking > 0 ? kUnits : 0;
  const std::size_t slots =
      room.max_models != 0 && room.slots + 1 > room.max_models ? room.slots + 1 - room.max_models : 0;

  // What one model offers: its first departure alone, or that and the one after it.
  struct Offer {
    Indexes indexes;
    std::size_t units;
    std::size_t slots;
    Price price;
  };
  std::vector<std::vector<Offer>> models;
  const auto add_to = [&](Offer offer, std::size_t index, double bytes_before) {
    const Departure& departure = candidates[index];
    const double bytes = bytes_before + static_cast<double>(departure.frees.count());
    offer.indexes.push_back(index);
    offer.units = lacking > 0 ? static_cast<std::size_t>(std::min(bytes / lacking, 1.0) * kUnits + kInexact) : 0;
    offer.slots += departure.slot ? 1 : 0;
    offer.price.cost += *departure.cost;
    offer.price.places += index + 1;
    return offer;
  };
  std::vector<std::size_t> model_of(candidates.size(), SIZE_MAX);
  for (const std::size_t index : offered) {
    if (candidates[index].after == SIZE_MAX) {
      model_of[index] = models.size();
      models.push_back({add_to({}, index, 0)});
    } else if (const std::size_t model = model_of[candidates[index].after]; model != SIZE_MAX) {
      const double before = static_cast<double>(candidates[candidates[index].after].frees.count());
      models[model].push_back(add_to(models[model].front(), index, before));
    }
  }

  // table[m][u, s]: the least price of freeing u units and s slots with the first m models, and what the last of them
  // offers for it, if anything.
  struct Cell {
    std::optional<Price> price;
    std::size_t offer = SIZE_MAX;
  };
  const std::size_t width = slots + 1;
  const std::size_t cells = (units + 1) * width;
  std::vector<std::vector<Cell>> table(models.size() + 1, std::vector<Cell>(cells));
  table[0][0].price = Price{};
  for (std::size_t m = 0; m < models.size(); ++m) {
    for (std::size_t u = 0; u <= units; ++u) {
      for (std::size_t s = 0; s <= slots; ++s) {
        Cell& cell = table[m + 1][u * width + s];
        cell.price = table[m][u * width + s].price;
        for (std::size_t o = 0; o < models[m].size(); ++o) {
          const Offer& offer = models[m][o];
          const std::size_t rest = (u - std::min(u, offer.units)) * width + (s - std::min(s, offer.slots));
          const std::optional<Price>& before = table[m][rest].price;
          if (!before) continue;
          const Price price{before->cost + offer.price.cost, before->places + offer.price.places};
          if (!cell.price || price < *cell.price) cell = {price, o};
        }
      }
    }
  }
  if (!table.back().back().price) return std::nullopt;
  Indexes chosen;
  std::size_t u = units;
  std::size_t s = slots;
  for (std::size_t m = models.size(); m-- > 0;) {
    const std::size_t o = table[m + 1][u * width + s].offer;
    if (o == SIZE_MAX) continue;
    const Offer& offer = models[m][o];
    chosen.insert(chosen.end(), offer.indexes.begin(), offer.indexes.end());
    u -= std::min(u, offer.units);
    s -= std::min(s, offer.slots);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::optional<Indexes> cheapest(const Room& room, Bytes wanted, std::span<const Departure> candidates) {
  if (!std::all_of(candidates.begin(), candidates.end(), [](const Departure& d) { return d.cost.has_value(); })) {
    return std::nullopt;
  }
  Indexes all(candidates.size());
  std::iota(all.begin(), all.end(), 0);
  Indexes keeping;
  std::copy_if(all.begin(), all.end(), std::back_inserter(keeping),
               [&](std::size_t i) { return !candidates[i].keeps_nothing; });
  auto chosen = cheapest(room, wanted, candidates, keeping);
  return chosen ? chosen : cheapest(room, wanted, candidates, all);
}

}  // namespace

std::optional<std::vector<std::size_t>> choose_victims(Room room, Bytes wanted, std::span<const Departure> candidates) {
  auto found = cheapest(room, wanted, candidates);
  if (!found) found = from_the_front(room, wanted, candidates);
  if (!found) return std::nullopt;
  Indexes& chosen = *found;
  for (const std::size_t i : chosen) room.give_back(candidates[i].frees, candidates[i].slot);
  check(room.fits(wanted), "the chosen victims are not enough");
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
  return found;
}

}  // namespace minerva
