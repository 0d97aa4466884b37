#include "context/victims.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace minerva {
namespace {

using Indexes = std::vector<std::size_t>;

// Each frees its slot as well.
std::vector<Departure> departures(const std::vector<std::uint64_t>& held) {
  std::vector<Departure> all;
  for (const std::uint64_t bytes : held) all.push_back({Bytes(bytes)});
  return all;
}

void put_back(Room& room, const Departure& departure) {
  room.committed += departure.frees;
  if (departure.slot) ++room.slots;
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
  held[0].slot = false;
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
    // Some keep their slot; some make sense only after another one.
    std::vector<Departure> held(random() % 8);
    for (std::size_t j = 0; j < held.size(); ++j) {
      held[j] = {Bytes(random() % 10), random() % 3 > 0};
      if (j > 0 && random() % 3 == 0) held[j].after = random() % j;
    }
    Room room = full(10 + random() % 30, random() % 6, held);
    const Bytes wanted(random() % 30);
    const auto chosen = choose_victims(room, wanted, held);
    if (!chosen) {
      for (const Departure& departure : held) room.give_back(departure.frees, departure.slot);
      EXPECT_FALSE(room.fits(wanted));
      continue;
    }
    for (const std::size_t index : *chosen) room.give_back(held[index].frees, held[index].slot);
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

}  // namespace
}  // namespace minerva
