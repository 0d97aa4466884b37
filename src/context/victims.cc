#include "context/victims.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

using Indexes = std::vector<std::size_t>;

std::optional<Indexes> from_the_front(Room room, const Footprint& wanted, std::span<const Departure> candidates) {
  Indexes chosen;
  for (std::size_t i = 0; i < candidates.size() && !room.fits(wanted); ++i) {
    room.give_back(candidates[i].frees, candidates[i].ends_active);
    chosen.push_back(i);
  }
  if (!room.fits(wanted)) return std::nullopt;
  return chosen;
}

// What a set of victims costs. Of two sets with equal costs the one with the smaller sum of positions is cheaper, as
// the policy would take the models at the front first.
struct Price {
  double cost = 0;
  std::size_t positions = 0;
  auto operator<=>(const Price&) const = default;
};

// What is missing: bytes in some of the pools, and places for active engines (max_models). Each is a dimension of the
// table below, in which the bytes of a pool count in units: equal parts of what is missing in the pool.
class Missing {
 public:
  Missing(const Room& room, const Footprint& wanted) {
    for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) {
      if (room.has_memory(pool, wanted)) continue;
      const Bytes needed = room.committed.of(pool) + wanted.of(pool);
      pools_.push_back({pool, static_cast<double>((needed - room.budget.of(pool)).count())});
    }
    places_ = room.has_place() ? 0 : room.active + 1 - room.max_models;
    // About as many cells for each number of pools.
    constexpr std::array<std::size_t, Footprint::kPools + 1> kUnits = {0, 240, 24, 10, 6, 4};
    units_ = kUnits[pools_.size()];
    std::vector<std::size_t> sizes(pools_.size(), units_ + 1);
    sizes.push_back(places_ + 1);
    for (const std::size_t size : sizes) {
      widths_.push_back(cells_);
      cells_ *= size;
    }
    for (std::size_t cell = 0; cell < cells_; ++cell) {
      for (std::size_t i = 0; i < sizes.size(); ++i) amounts_.push_back(cell / widths_[i] % sizes[i]);
    }
  }

  std::size_t cells() const { return cells_; }
  // What `freed` and `places` are in each dimension. Units are rounded down, so that what seems enough is enough.
  std::vector<std::size_t> units_of(const Footprint& freed, std::size_t places) const {
    constexpr double kInexact = 1e-9;
    std::vector<std::size_t> units;
    for (const auto& [pool, lacking] : pools_) {
      const double share = std::min(static_cast<double>(freed.of(pool).count()) / lacking, 1.0);
      units.push_back(static_cast<std::size_t>(share * static_cast<double>(units_) + kInexact));
    }
    units.push_back(places);
    return units;
  }
  // The cell of what is still missing when `units` of what `cell` stands for are there.
  std::size_t rest(std::size_t cell, const std::vector<std::size_t>& units) const {
    std::size_t rest = 0;
    for (std::size_t i = 0; i < widths_.size(); ++i) {
      const std::size_t amount = amounts_[cell * widths_.size() + i];
      rest += (amount - std::min(amount, units[i])) * widths_[i];
    }
    return rest;
  }

 private:
  struct Lack {
    std::size_t pool;
    double bytes;
  };
  std::vector<Lack> pools_;
  std::size_t places_ = 0;
  std::size_t units_ = 0;
  std::size_t cells_ = 1;
  std::vector<std::size_t> widths_;   // of each dimension: how many cells lie between an amount and the next one
  std::vector<std::size_t> amounts_;  // of each cell, in each dimension
};

// What one model offers: its first departure alone, or both of its departures.
struct Offer {
  Indexes indexes{};
  Footprint frees{};
  std::size_t places = 0;
  Price price{};
  std::vector<std::size_t> units{};
};

Offer extended(Offer offer, const Missing& missing, std::span<const Departure> candidates, std::size_t index) {
  const Departure& departure = candidates[index];
  offer.indexes.push_back(index);
  offer.frees += departure.frees;
  offer.places += departure.ends_active ? 1 : 0;
  offer.price.cost += *departure.cost;
  offer.price.positions += index + 1;
  offer.units = missing.units_of(offer.frees, offer.places);
  return offer;
}

std::vector<std::vector<Offer>> offers_of_models(const Missing& missing, std::span<const Departure> candidates,
                                                 const Indexes& offered) {
  std::vector<std::vector<Offer>> models;
  std::vector<std::size_t> model_of(candidates.size(), SIZE_MAX);
  for (const std::size_t index : offered) {
    const std::size_t first = candidates[index].after;
    if (first == SIZE_MAX) {
      model_of[index] = models.size();
      models.push_back({extended({}, missing, candidates, index)});
    } else if (const std::size_t model = model_of[first]; model != SIZE_MAX) {
      models[model].push_back(extended(models[model].front(), missing, candidates, index));
    }
  }
  return models;
}

// The cheapest of the candidates at `offered`: a knapsack over what is missing in each pool, and over places. As sizes
// are rounded down, a set that is only just enough may be missed. A set of several models of equal size must not be
// missed; hence the number of units.
std::optional<Indexes> cheapest(const Room& room, const Footprint& wanted, std::span<const Departure> candidates,
                                const Indexes& offered) {
  const Missing missing(room, wanted);
  const std::vector<std::vector<Offer>> models = offers_of_models(missing, candidates, offered);
  // table[m][cell]: the least price for which the first m models give back what the cell stands for; and the offer of
  // the last of these models that is part of it, if one is.
  struct Cell {
    std::optional<Price> price;
    std::size_t offer = SIZE_MAX;
  };
  std::vector<std::vector<Cell>> table(models.size() + 1, std::vector<Cell>(missing.cells()));
  table[0][0].price = Price{};
  for (std::size_t m = 0; m < models.size(); ++m) {
    for (std::size_t c = 0; c < missing.cells(); ++c) {
      Cell& cell = table[m + 1][c];
      cell.price = table[m][c].price;
      for (std::size_t o = 0; o < models[m].size(); ++o) {
        const Offer& offer = models[m][o];
        const std::optional<Price>& before = table[m][missing.rest(c, offer.units)].price;
        if (!before) continue;
        const Price price{before->cost + offer.price.cost, before->positions + offer.price.positions};
        if (!cell.price || price < *cell.price) cell = {price, o};
      }
    }
  }
  if (!table.back().back().price) return std::nullopt;
  Indexes chosen;
  std::size_t c = missing.cells() - 1;
  for (std::size_t m = models.size(); m-- > 0;) {
    const std::size_t o = table[m + 1][c].offer;
    if (o == SIZE_MAX) continue;
    const Offer& offer = models[m][o];
    chosen.insert(chosen.end(), offer.indexes.begin(), offer.indexes.end());
    c = missing.rest(c, offer.units);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::optional<Indexes> cheapest(const Room& room, const Footprint& wanted, std::span<const Departure> candidates) {
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

std::optional<std::vector<std::size_t>> choose_victims(Room room, const Footprint& wanted,
                                                       std::span<const Departure> candidates) {
  auto found = from_the_front(room, wanted, candidates);
  if (!found) return std::nullopt;  // then no set is enough
  if (auto better = cheapest(room, wanted, candidates)) found = std::move(better);
  Indexes& chosen = *found;
  for (const std::size_t i : chosen) room.give_back(candidates[i].frees, candidates[i].ends_active);
  check(room.fits(wanted), "the chosen victims are not enough");
  // A large model that was chosen late may make earlier small ones unnecessary. The last chosen model is tried first:
  // the policy prefers that the others leave.
  for (std::size_t i = planted_bug(PlantedBug::kOtherPoolLeaves) ? 0 : chosen.size(); i-- > 0;) {
    const bool needed = std::any_of(chosen.begin(), chosen.end(),
                                    [&](std::size_t other) { return candidates[other].after == chosen[i]; });
    if (needed) continue;
    const Departure& candidate = candidates[chosen[i]];
    Room without = room;
    without.committed += candidate.frees;
    without.active += candidate.ends_active ? 1 : 0;
    if (!without.fits(wanted)) continue;
    room = without;
    chosen.erase(chosen.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return found;
}

}  // namespace minerva
