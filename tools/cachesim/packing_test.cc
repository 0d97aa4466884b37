#include "cachesim/packing.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "cachesim/clairvoyant.h"
#include "cachesim/random_traces.h"
#include "cachesim/replay.h"
#include "cachesim/reuses.h"

namespace minerva::cachesim {
namespace {

Trace trace_of(const std::vector<std::uint32_t>& models) {
  Trace trace{.models = {{.id = "a", .size = Bytes(10), .reload = std::chrono::seconds(1)},
                         {.id = "b", .size = Bytes(20), .reload = std::chrono::seconds(6)},
                         {.id = "c", .size = Bytes(30), .reload = std::chrono::seconds(1)}},
              .users = {"u"},
              .requests = {}};
  for (const std::uint32_t model : models) trace.requests.push_back({.arrival = {}, .model = model});
  return trace;
}

TEST(Reuses, AreSortedByWhatTheySaveForTheirSpaceTime) {
  const Trace trace = trace_of({0, 1, 1, 2, 0, 1, 2});
  const std::vector<Reuse> reuses = reuses_by_worth(trace, make_world(trace, 1));
  ASSERT_EQ(reuses.size(), 4U);
  EXPECT_EQ(reuses[0].to, 2U);  // b at once: takes nothing
  EXPECT_EQ(reuses[0].moments(), 0U);
  EXPECT_EQ(reuses[0].space_time, 0);
  EXPECT_EQ(reuses[1].to, 5U);  // b: 6 s for 20 * 2
  EXPECT_EQ(reuses[1].saves_s, 6);
  EXPECT_EQ(reuses[1].space_time, 40);
  EXPECT_EQ(reuses[2].to, 4U);  // a: 1 s for 10 * 3
  EXPECT_EQ(reuses[3].to, 6U);  // c: 1 s for 30 * 2
  EXPECT_EQ(reuses[3].from, 3U);
  EXPECT_EQ(reuses[3].model, 2U);
}

TEST(Packing, KeepsTheMostWorthwhileThatFits) {
  const Trace trace = trace_of({0, 1, 1, 2, 0, 1, 2});
  const World world = make_world(trace, 1);
  // b fits beside c (50 in all), and then a does not fit beside both.
  EXPECT_EQ(plan_hits(trace, world, Bytes(50)), (std::vector<bool>{false, false, true, false, false, true, false}));
  // All three fit, and c stays while a and b are asked for.
  EXPECT_EQ(plan_hits(trace, world, Bytes(60)), (std::vector<bool>{false, false, true, false, true, true, true}));
}

TEST(Packing, FitsAtEveryRequest) {
  std::size_t tight = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Trace trace = random_trace(seed, {.models = 3 + seed % 12, .requests = 150});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    const std::vector<bool> hits = plan_hits(trace, world, capacity);
    std::vector<Bytes> taken;
    for (const TraceRequest& request : trace.requests) taken.push_back(world.models[request.model].size);
    const std::vector<Reuse> reuses = reuses_by_worth(trace, world);
    const auto most_between = [&](const Reuse& reuse) {
      Bytes most;
      for (std::size_t k = reuse.from + 1; k < reuse.to; ++k) most = std::max(most, taken[k]);
      return most;
    };
    for (const Reuse& reuse : reuses) {
      const Bytes size = world.models[reuse.model].size;
      for (std::size_t k = reuse.from + 1; k < reuse.to && hits[reuse.to]; ++k) taken[k] += size;
    }
    for (const Bytes bytes : taken) EXPECT_LE(bytes, capacity);
    // Nothing that would still fit was left out.
    for (const Reuse& reuse : reuses) {
      if (hits[reuse.to]) continue;
      EXPECT_GT(most_between(reuse) + world.models[reuse.model].size, capacity);
      ++tight;
    }
  }
  EXPECT_GT(tight, 1000U);
}

TEST(Packing, WhoFollowsThePlanHitsWhatItSays) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Trace trace = random_trace(seed, {.requests = 200});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    const std::vector<bool> hits = plan_hits(trace, world, capacity);
    const Outcome outcome =
        replay(trace, world, make_clairvoyant("planned", trace, world, capacity), {.capacity = capacity});
    for (std::size_t i = 0; i < hits.size(); ++i) {
      if (hits[i]) EXPECT_EQ(outcome.waits[i], Duration::zero()) << i << ", seed " << seed;
    }
  }
}

}  // namespace
}  // namespace minerva::cachesim
