// Parked models give back page cache for a model that wakes.
#include "context/core_fixture.h"

namespace minerva {
namespace {

class MakingWay : public CoreTest {
 protected:
  // a and b are parked and have 60 MiB and 80 MiB in the page cache; c wakes. a leaves before b.
  void SetUp() override {
    engines_can_park();
    start(10000);
    for (const char* id : {"c", "a", "b"}) {
      add(id, 1000);
      heat(id);
      only<Park>(park(next_id(), id));
      parked(id, 30, 10, std::string_view(id) == "a" ? 60 : 80);
    }
    only<Wake>(lease(kR1, "c"));
  }
  // c reads `displaced` MiB into memory that holds `page_cache` MiB of page cache, 40 MiB of which are its own already.
  std::vector<DropPages> wake_up(std::uint64_t displaced, std::uint64_t page_cache) {
    return all<DropPages>(step(
        EngineWoken{engine_.at("c"), Bytes::mib(40), Bytes::mib(50), Bytes::mib(displaced), Bytes::mib(page_cache)}));
  }
};

TEST_F(MakingWay, WhereMemoryIsLeftNobodyHasTo) { EXPECT_TRUE(wake_up(0, 0).empty()); }

TEST_F(MakingWay, OtherFilesGoFirst) { EXPECT_TRUE(wake_up(50, 60 + 80 + 40 + 50).empty()); }

TEST_F(MakingWay, TheFirstThatWouldLeaveGivesBackWhatIsDisplaced) {
  const auto drops = wake_up(50, 60 + 80 + 40 + 49);
  ASSERT_EQ(drops.size(), 1U);
  EXPECT_EQ(drops[0].model, "a");
  EXPECT_EQ(drops[0].engine, engine_.at("a"));
  EXPECT_EQ(drops[0].bytes, Bytes::mib(50));
}

TEST_F(MakingWay, NobodyGivesBackMoreThanHeHas) {
  const auto drops = wake_up(500, 100);
  ASSERT_EQ(drops.size(), 2U);
  EXPECT_EQ(drops[0].model, "a");
  EXPECT_EQ(drops[0].bytes, Bytes::mib(60));
  EXPECT_EQ(drops[1].model, "b");
  EXPECT_EQ(drops[1].bytes, Bytes::mib(80));
  EXPECT_TRUE(all<DropPages>(step(PressureChanged{true, Bytes::mib(100)})).empty()) << "nothing is left";
}

TEST_F(MakingWay, WhatWasGivenBackIsNotAskedForAgain) {
  ASSERT_EQ(wake_up(50, 100).size(), 1U);
  release(kR1);
  park(kR2, "c");
  parked("c", 30, 10, 90);
  only<Wake>(lease(kR3, "c"));
  const auto drops = wake_up(50, 100);
  ASSERT_EQ(drops.size(), 2U);
  EXPECT_EQ(drops[0].bytes, Bytes::mib(10));
  EXPECT_EQ(drops[1].bytes, Bytes::mib(40));
}

TEST_F(MakingWay, WhoIsHotKeepsWhatHeHas) {
  only<Wake>(lease(kR2, "a"));
  woken("a");
  const auto drops = wake_up(500, 100);
  ASSERT_EQ(drops.size(), 1U);
  EXPECT_EQ(drops[0].model, "b");
}

}  // namespace
}  // namespace minerva
