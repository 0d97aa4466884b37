#include "cli/verdict.h"

#include <gtest/gtest.h>

namespace minerva::cli {
namespace {

cachesim::Row row(const std::string& name, double cold_wait_s, cachesim::Kind kind = cachesim::Kind::kPolicy) {
  cachesim::Row result;
  result.name = name;
  result.kind = kind;
  result.cold_wait_s.mean = cold_wait_s;
  return result;
}

TEST(VerdictTest, NamesTheBestPolicyAndWhatCouldBeSavedAtMost) {
  cachesim::Table table;
  table.rows = {row("lru", 50),
                row("lfu", 40),
                row("fifo", 45),
                row("bound", 20, cachesim::Kind::kBound),
                row("clairvoyant", 30, cachesim::Kind::kClairvoyant),
                row("all", 1, cachesim::Kind::kInfinite)};
  const Verdict changed = verdict(table, "lru");
  EXPECT_EQ(changed.best, "lfu");
  EXPECT_EQ(changed.saves_s, 10);
  EXPECT_EQ(
      changed.sentence,
      "lfu would have been best: 40.0 s of waiting for loads instead of 50.0 s with lru, 20% less. No policy could "
      "have saved more than 60%.");
  const Verdict kept = verdict(table, "lfu");
  EXPECT_EQ(kept.best, "lfu");
  EXPECT_EQ(kept.saves_s, 0);
  EXPECT_EQ(kept.sentence,
            "lfu, which is in use, would have been the best of them with 40.0 s of waiting for loads. No policy could "
            "have saved more than 50%.");
  table.rows = {row("lru", 50), row("lfu", 50)};
  EXPECT_EQ(verdict(table, "lfu").best, "lfu");
  EXPECT_EQ(verdict(table, "lfu").sentence,
            "The policy made no difference: with each of them the same had to be loaded.");
}

}  // namespace
}  // namespace minerva::cli
