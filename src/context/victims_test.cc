#include "context/victims.h"

#include <gtest/gtest.h>

#include <random>

namespace minerva {
namespace {

using Indexes = std::vector<std::size_t>;

Room full(std::uint64_t budget, std::size_t max_models, std::span<const Bytes> held) {
  Room room{Bytes(budget), max_models, Bytes(), 0};
  for (const Bytes footprint : held) room.take(footprint);
  return room;
}

TEST(ChooseVictims, NobodyWhenItFits) {
  const std::vector<Bytes> held = {Bytes(4)};
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(6), held), Indexes{});
}

TEST(ChooseVictims, TakesTheFirstOnes) {
  const std::vector<Bytes> held = {Bytes(3), Bytes(3), Bytes(3)};
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(6), held), (Indexes{0, 1}));
  EXPECT_EQ(choose_victims(full(100, 3, held), Bytes(6), held), (Indexes{0}));
}

TEST(ChooseVictims, LeavesOutWhoIsNotNeeded) {
  const std::vector<Bytes> held = {Bytes(1), Bytes(2), Bytes(7)};
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(7), held), (Indexes{2}));
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(8), held), (Indexes{0, 2}));
}

TEST(ChooseVictims, NothingWhenAllAreNotEnough) {
  const std::vector<Bytes> held = {Bytes(3), Bytes(3)};
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(11), held), std::nullopt);
  EXPECT_EQ(choose_victims(full(10, 2, held), Bytes(1), {}), std::nullopt);
}

TEST(ChooseVictims, CountsAnOverdraft) {
  // The budget shrank from 12 to 10.
  const std::vector<Bytes> held = {Bytes(4), Bytes(4), Bytes(4)};
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(1), held), (Indexes{0}));
  EXPECT_EQ(choose_victims(full(10, 0, held), Bytes(3), held), (Indexes{0, 1}));
}

TEST(ChooseVictims, IsEnoughAndNoMoreOnRandomInput) {
  std::mt19937 random(7);
  for (int i = 0; i < 5000; ++i) {
    std::vector<Bytes> held(random() % 8);
    for (Bytes& footprint : held) footprint = Bytes(random() % 10);
    Room room = full(10 + random() % 30, random() % 6, held);
    const Bytes wanted(random() % 30);
    const auto chosen = choose_victims(room, wanted, held);
    if (!chosen) {
      for (const Bytes footprint : held) room.give_back(footprint);
      EXPECT_FALSE(room.fits(wanted));
      continue;
    }
    for (const std::size_t index : *chosen) room.give_back(held[index]);
    EXPECT_TRUE(room.fits(wanted));
    for (const std::size_t index : *chosen) {
      Room without = room;
      without.take(held[index]);
      EXPECT_FALSE(without.fits(wanted)) << "victim " << index << " was not needed";
    }
  }
}

}  // namespace
}  // namespace minerva
