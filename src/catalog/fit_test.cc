#include "catalog/fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#include "engine/engine_arguments.h"

namespace minerva {
namespace {

// A model whose memory is the sum of its parts, as with real models.
struct Shape {
  Bytes mapped = Bytes::mib(640);
  Bytes repacked = Bytes::mib(600);
  Bytes for_1024_tokens = Bytes::mib(90);
  Bytes checkpoint = Bytes::mib(12);
  Bytes prompt_cache = Bytes::mib(256);
  unsigned trained_context = 32768;
};

ModelMetadata inspected(const Shape& shape, ModelSpec spec, const Reduction& reduction) {
  spec.reduction = reduction;
  const EngineDefaults defaults;
  const unsigned slots = slots_of(spec);
  ModelMetadata metadata;
  metadata.trained_context = shape.trained_context;
  metadata.context = conversation_context(spec, shape.trained_context);
  const bool repacks = !reduction.mapped && spec.weights != WeightsMode::kMapped;
  metadata.repacked = repacks ? shape.repacked : Bytes();
  metadata.checkpoints =
      Bytes(shape.checkpoint.count() * slots * reduction.checkpoints.value_or(defaults.context_checkpoints));
  metadata.prompt_cache = std::min(shape.prompt_cache, reduction.prompt_cache.value_or(shape.prompt_cache));
  metadata.predicted = shape.mapped + metadata.repacked + metadata.checkpoints + metadata.prompt_cache +
                       Bytes(shape.for_1024_tokens.count() / 1024 * metadata.context * slots);
  return metadata;
}

class FitTest : public testing::Test {
 protected:
  FitResult search(Bytes room) {
    known_.clear();
    return go_on(room);
  }
  FitResult go_on(Bytes room) {
    while (true) {
      FitResult result = fit(spec_, room, [this](const Reduction& reduction) -> const ModelMetadata* {
        const auto it = std::find_if(known_.begin(), known_.end(), [&](const auto& k) { return k.first == reduction; });
        return it == known_.end() ? nullptr : &it->second;
      });
      if (!result.ask) return result;
      EXPECT_LT(known_.size(), 8U);
      if (known_.size() >= 8) return result;
      known_.emplace_back(*result.ask, inspected(shape_, spec_, *result.ask));
    }
  }
  Bytes takes(const Reduction& reduction) const { return inspected(shape_, spec_, reduction).predicted; }
  Reduction found(Bytes room) {
    const FitResult result = search(room);
    EXPECT_TRUE(result.found.has_value());
    if (!result.found) return {};
    EXPECT_LE(takes(*result.found), room);
    return *result.found;
  }

  ModelSpec spec_;
  Shape shape_;
  std::vector<std::pair<Reduction, ModelMetadata>> known_;
};

TEST_F(FitTest, NothingGivesWayWhereThereIsRoom) {
  EXPECT_EQ(found(takes({})), Reduction{});
  EXPECT_EQ(known_.size(), 1U);
}

TEST_F(FitTest, WhatIsMissedLeastGivesWayFirst) {
  shape_.prompt_cache = Bytes::mib(1024);
  shape_.checkpoint = Bytes::mib(48);
  const Bytes whole = takes({});
  const Bytes cache = Bytes::mib(1023);
  const Bytes checkpoints = Bytes::mib(2 * 3 * 48);
  // An eighth of the room stays for parked models.
  const auto found_with = [this](Bytes to_take) { return found(Bytes(to_take.count() / 7 * 8 + 8)); };

  EXPECT_EQ(found_with(whole - Bytes::mib(600)), (Reduction{.prompt_cache = Bytes::mib(422)}));
  EXPECT_EQ(found_with(whole - cache - Bytes::mib(100)), (Reduction{.prompt_cache = Bytes::mib(91), .checkpoints = 2}));
  EXPECT_EQ(found_with(whole - cache - checkpoints - Bytes::mib(1)),
            (Reduction{.prompt_cache = Bytes::mib(310), .mapped = true}))
      << "what the copy took is used for all that is missed more than the copy";

  Reduction r = found_with(whole - cache - checkpoints - shape_.repacked - Bytes::mib(1));
  EXPECT_EQ(r.parallel, 1U);
  EXPECT_FALSE(r.context);

  r = found_with(
      takes({.prompt_cache = Bytes::mib(1), .checkpoints = 1, .mapped = true, .parallel = 1, .context = 5120}) +
      Bytes::mib(5));
  EXPECT_EQ(
      r, (Reduction{.prompt_cache = Bytes::mib(4), .checkpoints = 1, .mapped = true, .parallel = 1, .context = 5120}));
  EXPECT_LE(known_.size(), 5U);
}

TEST_F(FitTest, TheLeastIsGivenAllOfTheRoom) {
  const Reduction least{
      .prompt_cache = Bytes::mib(1), .checkpoints = 1, .mapped = true, .parallel = 1, .context = 2048};
  EXPECT_EQ(found(takes(least)), least);
  EXPECT_LE(known_.size(), 5U);
  const FitResult none = search(takes(least) - Bytes(1));
  EXPECT_FALSE(none.found);
  EXPECT_EQ(none.smallest, least);
}

// Otherwise it would be taken for one that cannot run, with the memory of one that can.
TEST_F(FitTest, TheLeastFitsIfItsMeasuredMemoryDoes) {
  const Reduction least{
      .prompt_cache = Bytes::mib(1), .checkpoints = 1, .mapped = true, .parallel = 1, .context = 2048};
  const Bytes room = takes(least) - Bytes::mib(1);
  EXPECT_FALSE(search(room).found);
  for (auto& [reduction, metadata] : known_) {
    if (reduction == least) metadata.measured = room;
  }
  EXPECT_EQ(go_on(room).found, least);
}

TEST_F(FitTest, WhatIsSetIsKept) {
  spec_.parallel = 2;
  spec_.context = 8192;
  spec_.weights = WeightsMode::kRepacked;
  spec_.args = {"--cache-ram", "256"};
  const FitResult none = search(takes({}) - Bytes::mib(80));
  EXPECT_FALSE(none.found);
  EXPECT_EQ(none.smallest, (Reduction{.checkpoints = 1}));
  spec_.args.clear();
  EXPECT_EQ(found(takes({.prompt_cache = Bytes::mib(1), .checkpoints = 1})),
            (Reduction{.prompt_cache = Bytes::mib(1), .checkpoints = 1}));
}

TEST_F(FitTest, NothingGivesWayWhereItIsOff) {
  spec_.fit = false;
  EXPECT_FALSE(search(takes({}) - Bytes(1)).found);
  EXPECT_EQ(known_.size(), 1U);
  spec_.context_may_shrink = true;
  spec_.context = 8192;
  const Reduction r = found(takes({.context = 512}));
  EXPECT_EQ(r, (Reduction{.context = 512}));
}

TEST_F(FitTest, AMeasuredFigureCountsMoreThanAPredictedOne) {
  const Bytes room = takes({}) + Bytes::mib(100);
  EXPECT_EQ(found(room), Reduction{});
  known_.front().second.measured = room + Bytes::mib(50);
  const FitResult later = go_on(room);
  ASSERT_TRUE(later.found.has_value());
  EXPECT_NE(*later.found, Reduction{});
}

// Random sizes of the model and of the budget.
TEST_F(FitTest, ItRunsWheneverTheLeastOfItFits) {
  std::mt19937_64 random(7);
  const auto mib = [&random](std::uint64_t most) { return Bytes::mib(random() % (most + 1)); };
  for (int i = 0; i < 2000; ++i) {
    shape_ = {mib(1200) + Bytes::mib(20), mib(1200), mib(200), mib(40), mib(256), 512U << (random() % 8)};
    spec_ = {};
    if (random() % 4 == 0) spec_.parallel = 1 + random() % 4;
    if (random() % 4 == 0) spec_.context = 1024;
    Reduction least{.prompt_cache = Bytes::mib(1), .checkpoints = 1, .mapped = true};
    if (!spec_.parallel) least.parallel = 1;
    if (!spec_.context) least.context = std::min({2048U, 8192U, shape_.trained_context});
    const Bytes room = mib(6000);
    const FitResult result = search(room);
    ASSERT_EQ(result.found.has_value(), takes({}) <= room || takes(least) <= room) << i;
    if (!result.found) continue;
    const Reduction& r = *result.found;
    ASSERT_LE(takes(r), room) << i;
    ASSERT_FALSE((spec_.parallel && r.parallel) || (spec_.context && r.context)) << i;
    ASSERT_LE(known_.size(), 6U) << i;
  }
}

TEST(Concessions, SayWhatIsMissedMostFirst) {
  ModelSpec spec;
  const Reduction reduction{
      .prompt_cache = Bytes::mib(31), .checkpoints = 1, .mapped = true, .parallel = 1, .context = 5120};
  EXPECT_EQ(concessions_text(concessions(spec, reduction, 32768)),
            "context 5120 instead of 8192, parallel 1 instead of 2, weights mapped instead of repacked, "
            "context_checkpoints 1 instead of 4, prompt_cache_mib 31 instead of 256");
  EXPECT_EQ(concessions_text(concessions(spec, {}, 32768)), "");
}

}  // namespace
}  // namespace minerva
