#include "cachesim/world.h"

#include <gtest/gtest.h>

#include <cmath>

namespace minerva::cachesim {
namespace {

Trace trace_of(std::size_t models) {
  Trace trace;
  for (std::size_t i = 0; i < models; ++i) trace.models.push_back({.id = "model-" + std::to_string(i)});
  return trace;
}

TEST(World, DrawsSizesEvenlyOnALogarithmicScale) {
  constexpr std::size_t kModels = 2000;
  const World world = make_world(trace_of(kModels), 1);
  std::size_t below_5_gb = 0;
  Bytes all;
  Bytes largest;
  for (const WorldModel& model : world.models) {
    EXPECT_GE(model.size, Bytes(500'000'000));
    EXPECT_LE(model.size, Bytes(50'000'000'000));
    EXPECT_NEAR(std::chrono::duration<double>(model.reload).count(),
                0.8 + static_cast<double>(model.size.count()) / 2e9, 1e-8);
    if (model.size < Bytes(5'000'000'000)) ++below_5_gb;
    all += model.size;
    largest = std::max(largest, model.size);
  }
  EXPECT_NEAR(static_cast<double>(below_5_gb) / kModels, 0.5, 0.05);
  EXPECT_EQ(world.all, all);
  EXPECT_EQ(world.largest, largest);
}

TEST(World, ASeedIsAWorld) {
  const Trace trace = trace_of(5);
  EXPECT_EQ(make_world(trace, 1).all, make_world(trace, 1).all);
  EXPECT_NE(make_world(trace, 1).all, make_world(trace, 2).all);
}

TEST(World, KeepsWhatTheTraceSays) {
  Trace trace = trace_of(3);
  EXPECT_TRUE(is_drawn(trace));
  const World drawn = make_world(trace, 1);
  trace.models[0].size = Bytes(4'000'000'000);
  trace.models[1].reload = std::chrono::seconds(9);
  const World world = make_world(trace, 1);
  EXPECT_EQ(world.models[0].size, Bytes(4'000'000'000));
  EXPECT_EQ(world.models[0].reload, std::chrono::milliseconds(2800));
  EXPECT_EQ(world.models[1].size, drawn.models[1].size);
  EXPECT_EQ(world.models[1].reload, std::chrono::seconds(9));
  EXPECT_EQ(world.models[2].size, drawn.models[2].size);
  for (TraceModel& model : trace.models) model.size = Bytes(1);
  EXPECT_FALSE(is_drawn(trace));
}

TEST(World, ACapacityHoldsTheLargestModel) {
  Trace trace = trace_of(2);
  trace.models[0].size = Bytes(300);
  trace.models[1].size = Bytes(700);
  const World world = make_world(trace, 1);
  EXPECT_EQ(world.capacity(0), Bytes(700));
  EXPECT_EQ(world.capacity(70), Bytes(700));
  EXPECT_EQ(world.capacity(80), Bytes(800));
  EXPECT_EQ(world.capacity(100), Bytes(1000));
}

}  // namespace
}  // namespace minerva::cachesim
