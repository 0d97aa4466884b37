#include "context/victims.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace minerva {
namespace {

using Indexes = std::vector<std::size_t>;

// Each frees a place as well.
std::vector<Departure> departures(const std::vector<std::uint64_t>& held) {
  std::vector<Departure> all;
  for (const std::uint64_t bytes : held) all.push_back({Bytes(bytes)});
  return all;
}

void put_back(Room& room, const Departure& departure) {
  room.committed += departure.frees;
  if (departure.ends_active) ++room.active;
}

Room full(std::uint64_t budget, std::size_t max_models, std::span<const Departure> held) {
  Room room{Bytes(budget), max_models, Bytes(), 0};
  for (const Departure& departure : held) put_back(room, departure);
  return room;
}

TEST(ChooseVictims, NobodyWhenItFits) {
  const auto held = departures({4});
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(6), held), Indexes{});
}

TEST(ChooseVictims, TakesTheFirstOnes) {
  const auto held = departures({3, 3, 3});
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(6), held), (Indexes{0, 1}));
  EXPECT_EQ(choose_victims(full(100, 3, held), Bytes(6), held), (Indexes{0}));
}

TEST(ChooseVictims, LeavesOutWhoIsNotNeeded) {
  const auto held = departures({1, 2, 7});
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(7), held), (Indexes{2}));
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(8), held), (Indexes{0, 2}));
}

TEST(ChooseVictims, NothingWhenAllAreNotEnough) {
  const auto held = departures({3, 3});
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(11), held), std::nullopt);
  EXPECT_EQ(choose_victims(full(10, 2, held), Bytes(1), {}), std::nullopt);
}

TEST(ChooseVictims, ASlotAloneCanBeWhatIsWanted) {
  std::vector<Departure> held = departures({3, 3});
  held[0].ends_active = false;
  EXPECT_EQ(choose_victims(full(100, 1, held), Bytes(1), held), (Indexes{1}));
}

TEST(ChooseVictims, TheRestOfAModelGoesOnlyWithItsBeginning) {
  // Two that park and free 5 each, and what they keep.
  std::vector<Departure> held = departures({5, 5});
  held.push_back({Bytes(3), false, 0});
  held.push_back({Bytes(3), false, 1});
  EXPECT_EQ(choose_victims(full(16, 0, held), Bytes(5), held), (Indexes{0}));
  EXPECT_EQ(choose_victims(full(16, 0, held), Bytes(10), held), (Indexes{0, 1}));
  EXPECT_EQ(choose_victims(full(16, 0, held), Bytes(12), held), (Indexes{0, 1, 2}));
  EXPECT_EQ(choose_victims(full(16, 0, held), Bytes(16), held), (Indexes{0, 1, 2, 3}));
}

TEST(ChooseVictims, CountsAnOverdraft) {
  // The budget shrank from 12 to 10.
  const auto held = departures({4, 4, 4});
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(1), held), (Indexes{0}));
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(3), held), (Indexes{0, 1}));
}

TEST(ChooseVictims, IsEnoughAndNoMoreOnRandomInput) {
  std::mt19937 random(7);
  for (int i = 0; i < 5000; ++i) {
    // Some free no place; some make sense only after another one.
    std::vector<Departure> held(random() % 8);
    for (std::size_t j = 0; j < held.size(); ++j) {
      held[j] = {Bytes(random() % 10), random() % 3 > 0};
      if (j > 0 && random() % 3 == 0) held[j].after = random() % j;
    }
    Room room = full(10 + random() % 30, random() % 6, held);
    const Bytes wanted(random() % 30);
    const auto chosen = choose_victims(room, wanted, held);
    if (!chosen) {
      for (const Departure& departure : held) room.give_back(departure.frees, departure.ends_active);
      EXPECT_FALSE(room.fits(wanted));
      continue;
    }
    for (const std::size_t index : *chosen) room.give_back(held[index].frees, held[index].ends_active);
    EXPECT_TRUE(room.fits(wanted));
    for (const std::size_t index : *chosen) {
      const bool needed = std::any_of(chosen->begin(), chosen->end(), [&](auto i) { return held[i].after == index; });
      if (needed) continue;
      Room without = room;
      put_back(without, held[index]);
      EXPECT_FALSE(without.fits(wanted)) << "victim " << index << " was not needed";
    }
  }
}

std::vector<Departure> priced(const std::vector<std::pair<std::uint64_t, double>>& offers) {
  std::vector<Departure> all;
  for (const auto& [bytes, cost] : offers) all.push_back({.frees = Bytes(bytes), .cost = cost});
  return all;
}

TEST(CheapestVictims, IsTheCheapestSetAndNotTheFirstOnes) {
  const auto held = priced({{3, 5}, {3, 5}, {6, 8}, {10, 20}});
  EXPECT_EQ(choose_victims(full(22, 0, held), Bytes(6), held), (Indexes{2}));
  EXPECT_EQ(choose_victims(full(22, 0, held), Bytes(3), held), (Indexes{0}));
  EXPECT_EQ(choose_victims(full(22, 0, held), Bytes(9), held), (Indexes{0, 2}));
  EXPECT_EQ(choose_victims(full(22, 0, held), Bytes(12), held), (Indexes{0, 1, 2}));
  EXPECT_EQ(choose_victims(full(22, 0, held), Bytes(13), held), (Indexes{2, 3})) << "0 and 3 would do exactly";
  EXPECT_EQ(choose_victims(full(99, 4, held), Bytes(1), held), (Indexes{0})) << "a place";
}

TEST(CheapestVictims, OfEqualOnesTheFirst) {
  const auto held = priced({{4, 0}, {4, 0}, {4, 0}});
  EXPECT_EQ(choose_victims(full(12, 0, held), Bytes(4), held), (Indexes{0}));
  EXPECT_EQ(choose_victims(full(12, 0, held), Bytes(8), held), (Indexes{0, 1}));
}

TEST(CheapestVictims, LosesNoConversationIfThatIsEnough) {
  // A dear one that parks, and a cheap one that is parked already.
  const std::vector<Departure> held = {
      {.frees = Bytes(9), .cost = 50},
      {.frees = Bytes(5), .ends_active = false, .keeps_nothing = true, .cost = 1},
      {.frees = Bytes(1), .ends_active = false, .after = 0, .keeps_nothing = true, .cost = 2}};
  EXPECT_EQ(choose_victims(full(15, 0, held), Bytes(5), held), (Indexes{0}));
  EXPECT_EQ(choose_victims(full(15, 0, held), Bytes(10), held), (Indexes{0, 1}));
  EXPECT_EQ(choose_victims(full(15, 0, held), Bytes(15), held), (Indexes{0, 1, 2}));
}

TEST(CheapestVictims, WithOneOfUnknownCostTheFirstOnes) {
  auto held = priced({{3, 5}, {3, 1}});
  held[1].cost.reset();
  EXPECT_EQ(choose_victims(full(6, 0, held), Bytes(3), held), (Indexes{0}));
}

Footprint in_pools(std::uint64_t host, std::uint64_t device, std::uint64_t other = 0) {
  Footprint footprint{Bytes(host)};
  footprint.set(1, Bytes(device));
  footprint.set(2, Bytes(other));
  return footprint;
}

TEST(CheapestVictims, FreeWhatIsMissingInEachPoolAndNoMore) {
  const std::vector<Departure> held = {{.frees = in_pools(8, 0), .cost = 1},
                                       {.frees = in_pools(1, 8), .cost = 5},
                                       {.frees = in_pools(1, 0, 8), .cost = 1},
                                       {.frees = in_pools(8, 8), .cost = 7}};
  const Room room = full(0, 0, held);
  EXPECT_EQ(choose_victims({room.committed, 0, room.committed, 4}, in_pools(4, 0), held), (Indexes{0}));
  EXPECT_EQ(choose_victims({room.committed, 0, room.committed, 4}, in_pools(0, 4), held), (Indexes{1}));
  EXPECT_EQ(choose_victims({room.committed, 0, room.committed, 4}, in_pools(4, 4), held), (Indexes{0, 1}));
  EXPECT_EQ(choose_victims({room.committed, 0, room.committed, 4}, in_pools(9, 12), held), (Indexes{1, 3}));
  EXPECT_EQ(choose_victims({room.committed, 0, room.committed, 4}, in_pools(0, 4, 4), held), (Indexes{1, 2}));
  EXPECT_FALSE(choose_victims({room.committed, 0, room.committed, 4}, in_pools(0, 17), held));
}

TEST(Victims, OfAnotherPoolStay) {
  const std::vector<Departure> held = {{.frees = in_pools(0, 8)}, {.frees = in_pools(8, 0)}};
  const Room room = full(0, 0, held);
  EXPECT_EQ(choose_victims({room.committed, 0, room.committed, 2}, in_pools(8, 0), held), (Indexes{1}));
  EXPECT_EQ(choose_victims({room.committed, 0, room.committed, 2}, in_pools(0, 1), held), (Indexes{0}));
}

TEST(CheapestVictims, InSeveralPoolsAreEnoughAndNoneIsSuperfluous) {
  std::mt19937 random(5);
  unsigned found = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<Departure> held(1 + random() % 8);
    for (Departure& departure : held) {
      departure.frees = in_pools(random() % 9, random() % 3 * 4, random() % 3 * 5);
      if (i % 2 == 0) departure.cost = random() % 50;
    }
    const Room room = full(0, 0, held);
    const Room without{room.committed, 0, room.committed, held.size()};
    const Footprint wanted = in_pools(random() % 20, random() % 12, random() % 12);
    const auto chosen = choose_victims(without, wanted, held);
    ASSERT_EQ(chosen.has_value(), wanted.within(room.committed)) << i;
    if (!chosen) continue;
    ++found;
    Room after = without;
    for (const std::size_t index : *chosen) after.give_back(held[index].frees, true);
    EXPECT_TRUE(after.fits(wanted)) << i;
    for (const std::size_t index : *chosen) {
      Room kept = after;
      kept.committed += held[index].frees;
      EXPECT_FALSE(kept.fits(wanted)) << i;
    }
  }
  EXPECT_GT(found, 500U);
}

// Against all subsets. Sizes that the rounding does not touch: the budget lacks 16 or 0 bytes.
TEST(CheapestVictims, AgreesWithTryingAllOnRandomInput) {
  std::mt19937 random(11);
  unsigned found = 0;
  for (int i = 0; i < 3000; ++i) {
    std::vector<Departure> held(1 + random() % 8);
    for (std::size_t j = 0; j < held.size(); ++j) {
      held[j] = {.frees = Bytes(random() % 12), .ends_active = random() % 3 > 0, .cost = random() % 50};
      if (j > 0 && random() % 3 == 0 && held[j - 1].after == SIZE_MAX) held[j].after = j - 1;
    }
    Room room = full(0, random() % 4, held);
    room.budget = room.committed + Bytes(random() % 2 * 4);
    const Footprint wanted = room.budget - room.committed + Bytes(random() % 2 * 16);
    const auto chosen = choose_victims(room, wanted, held);
    std::optional<double> least;
    for (std::uint32_t set = 0; set < 1U << held.size(); ++set) {
      Room after = room;
      double cost = 0;
      bool sensible = true;
      for (std::size_t j = 0; j < held.size(); ++j) {
        if ((set >> j & 1U) == 0) continue;
        sensible = sensible && (held[j].after == SIZE_MAX || (set >> held[j].after & 1U) != 0);
        after.give_back(held[j].frees, held[j].ends_active);
        cost += *held[j].cost;
      }
      if (sensible && after.fits(wanted)) least = std::min(least.value_or(cost), cost);
    }
    ASSERT_EQ(chosen.has_value(), least.has_value());
    if (!chosen) continue;
    ++found;
    double cost = 0;
    for (const std::size_t index : *chosen) cost += *held[index].cost;
    EXPECT_EQ(cost, *least) << "input " << i;
  }
  EXPECT_GT(found, 500U);
}

}  // namespace
}  // namespace minerva
