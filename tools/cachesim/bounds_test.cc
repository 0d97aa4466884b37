#include "cachesim/bounds.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "cachesim/clairvoyant.h"
#include "cachesim/lp_bound.h"
#include "cachesim/random_traces.h"
#include "cachesim/replay.h"

namespace minerva::cachesim {
namespace {

constexpr double kRounding = 1e-6;

double cold_wait_s(const Trace& trace, const World& world, const PolicyMaker& maker, Bytes capacity) {
  return std::chrono::duration<double>(replay(trace, world, maker, {.capacity = capacity}).cold_wait).count();
}

double clairvoyant_s(std::string_view name, const Trace& trace, const World& world, Bytes capacity) {
  return cold_wait_s(trace, world, make_clairvoyant(name, trace, world, capacity), capacity);
}

double registered_s(const std::string& name, const Trace& trace, const World& world, Bytes capacity) {
  const auto maker = [&](const Progress&) { return make_policy(name).value(); };
  return cold_wait_s(trace, world, maker, capacity);
}

// The least cold-wait, found by trying every set of models that may be kept at each request. Requires: few models.
double optimum_s(const Trace& trace, const World& world, Bytes capacity) {
  const auto size_of = [&](std::uint32_t set) {
    Bytes size;
    for (std::size_t i = 0; i < world.models.size(); ++i) {
      if ((set >> i & 1U) != 0) size += world.models[i].size;
    }
    return size;
  };
  std::map<std::uint32_t, double> best = {{0, 0.0}};  // the set in memory, and the least wait so far with it
  for (const TraceRequest& request : trace.requests) {
    const std::uint32_t wanted = 1U << request.model;
    std::map<std::uint32_t, double> next;
    for (const auto& [set, paid_s] : best) {
      const double cost_s =
          (set & wanted) != 0 ? 0 : std::chrono::duration<double>(world.models[request.model].reload).count();
      // Every subset of the others.
      const std::uint32_t others = set & ~wanted;
      for (std::uint32_t kept = others;; kept = (kept - 1) & others) {
        if (size_of(kept | wanted) <= capacity) {
          const auto [it, is_new] = next.try_emplace(kept | wanted, paid_s + cost_s);
          it->second = std::min(it->second, paid_s + cost_s);
        }
        if (kept == 0) break;
      }
    }
    best = std::move(next);
  }
  double least_s = HUGE_VAL;
  for (const auto& [set, paid_s] : best) least_s = std::min(least_s, paid_s);
  return least_s;
}

TEST(Bounds, NoPolicyIsBelowThem) {
  for (std::uint64_t seed = 1; seed <= 150; ++seed) {
    const Trace trace = random_trace(seed, {.models = 3 + seed % 12, .requests = 150});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    const double bound_s = lp_lower_bound_s(trace, world, capacity);
    EXPECT_LE(infinite_memory_s(trace, world), pfoo_lower_bound_s(trace, world, capacity) + kRounding)
        << "seed " << seed;
    EXPECT_LE(pfoo_lower_bound_s(trace, world, capacity), bound_s + kRounding) << "seed " << seed;
    for (const std::string& name : policy_names()) {
      EXPECT_LE(bound_s, registered_s(name, trace, world, capacity) + kRounding) << name << ", seed " << seed;
    }
    for (const std::string& name : clairvoyant_names()) {
      EXPECT_LE(bound_s, clairvoyant_s(name, trace, world, capacity) + kRounding) << name << ", seed " << seed;
    }
  }
}

TEST(Bounds, TheOptimumIsBetweenThemAndTheClairvoyantOnes) {
  double pfoo_gap_s = 0;
  double lp_gap_s = 0;
  double whole_gap_s = 0;
  constexpr std::uint64_t kTraces = 200;
  for (std::uint64_t seed = 1; seed <= kTraces; ++seed) {
    const Trace trace = random_trace(seed, {.models = 3 + seed % 4, .requests = 60});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    const double pfoo_s = pfoo_lower_bound_s(trace, world, capacity);
    const double lp_s = lp_lower_bound_s(trace, world, capacity);
    const double best_s = optimum_s(trace, world, capacity);
    EXPECT_LE(pfoo_s, lp_s + kRounding) << "seed " << seed;
    EXPECT_LE(lp_s, best_s + kRounding) << "seed " << seed;
    pfoo_gap_s += best_s - pfoo_s;
    lp_gap_s += best_s - lp_s;
    whole_gap_s += best_s - infinite_memory_s(trace, world);
    for (const std::string& name : clairvoyant_names()) {
      EXPECT_LE(best_s, clairvoyant_s(name, trace, world, capacity) + kRounding) << name << ", seed " << seed;
    }
    for (const std::string& name : policy_names()) {
      EXPECT_LE(best_s, registered_s(name, trace, world, capacity) + kRounding) << name << ", seed " << seed;
    }
  }
  // The first loads alone would be a bound too.
  EXPECT_LT(pfoo_gap_s, 0.85 * whole_gap_s);
  EXPECT_LT(lp_gap_s, 0.6 * pfoo_gap_s);
}

TEST(Bounds, BeladyIsOptimalForModelsOfOneSize) {
  std::size_t better_than_lru = 0;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    const Trace trace = random_trace(seed, {.models = 3 + seed % 4, .requests = 20, .equal = true});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    const double best_s = optimum_s(trace, world, capacity);
    // With one size and one cost these are all the same policy, except for time.
    for (const char* name : {"belady", "belady-size", "belady-cost"}) {
      EXPECT_NEAR(clairvoyant_s(name, trace, world, capacity), best_s, kRounding) << name << ", seed " << seed;
    }
    if (registered_s("lru", trace, world, capacity) > best_s + kRounding) ++better_than_lru;
  }
  EXPECT_GT(better_than_lru, 20U);
}

TEST(Bounds, InfiniteMemoryIsReachedWithMemoryForAll) {
  const Trace trace = random_trace(1, {});
  const World world = make_world(trace, 1);
  EXPECT_NEAR(registered_s("lru", trace, world, world.all), infinite_memory_s(trace, world), kRounding);
  EXPECT_NEAR(pfoo_lower_bound_s(trace, world, world.all), infinite_memory_s(trace, world), kRounding);
}

TEST(Bounds, OnePriceForAllMomentsIsPfoo) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    const Trace trace = random_trace(seed, {});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    EXPECT_NEAR(lp_lower_bound_s(trace, world, capacity, 1), pfoo_lower_bound_s(trace, world, capacity), kRounding);
  }
}

// a b c a, with room for two: for one moment a and c are in memory, for another b and c, or the like.
TEST(Bounds, TakesAFractionOfTheLastInterval) {
  Trace trace{.models = {{.id = "a", .size = Bytes(10), .reload = std::chrono::seconds(8)},
                         {.id = "b", .size = Bytes(14), .reload = std::chrono::seconds(1)},
                         {.id = "c", .size = Bytes(15), .reload = std::chrono::seconds(1)}},
              .users = {"u"},
              .requests = {}};
  for (const std::uint32_t model : {0U, 1U, 2U, 0U}) {
    trace.requests.push_back({.arrival = Duration::zero(), .model = model, .user = 0, .service = Duration::zero()});
  }
  const World world = make_world(trace, 1);
  // Room beside the leased models at capacity 15: 5 + 1 + 0 + 5 = 11. a takes 10 * 2 until its next request.
  EXPECT_NEAR(pfoo_lower_bound_s(trace, world, Bytes(15)), 8 + 1 + 1 + 8 - 8 * 11.0 / 20, kRounding);
}

// Whether a or b leaves for c, by sizes, costs and distances.
class ClairvoyantChoice : public testing::Test {
 protected:
  // a and b are loaded, c needs the room of one of them, and then the requests of `later` come.
  std::uint32_t victim(std::string_view name, std::vector<std::uint32_t> later, int seconds_between = 1) {
    std::vector<std::uint32_t> order = {0, 1, 2};
    order.insert(order.end(), later.begin(), later.end());
    Trace trace{.models = models_, .users = {"u"}, .requests = {}};
    for (std::size_t i = 0; i < order.size(); ++i) {
      // The last request comes late.
      const auto at = std::chrono::seconds(i + 1 == order.size() ? 3600 : static_cast<int>(i) * seconds_between);
      trace.requests.push_back({.arrival = at, .model = order[i], .user = 0, .service = Duration::zero()});
    }
    const World world = make_world(trace, 1);
    const Bytes capacity = world.models[0].size + world.models[1].size;
    const Outcome outcome =
        replay(trace, world, make_clairvoyant(name, trace, world, capacity), {.capacity = capacity});
    const auto leaves =
        std::find_if(outcome.moves.begin(), outcome.moves.end(), [](const Move& move) { return !move.comes; });
    return leaves == outcome.moves.end() ? UINT32_MAX : leaves->model;
  }

  std::vector<TraceModel> models_ = {{.id = "a", .size = Bytes(100), .reload = std::chrono::seconds(1)},
                                     {.id = "b", .size = Bytes(100), .reload = std::chrono::seconds(1)},
                                     {.id = "c", .size = Bytes(10), .reload = std::chrono::seconds(1)}};
};

TEST_F(ClairvoyantChoice, IsTheFarthest) {
  for (const std::string& name : clairvoyant_names()) {
    EXPECT_EQ(victim(name, {0, 2, 1}), 1U) << name;
    EXPECT_EQ(victim(name, {1, 2, 0}), 0U) << name;
    EXPECT_EQ(victim(name, {1, 2, 2}), 0U) << name;  // a never comes again
  }
}

TEST_F(ClairvoyantChoice, WeighsSizeAndCost) {
  models_[0].size = Bytes(400);  // its next use is at distance 1, that of b at 3
  EXPECT_EQ(victim("belady", {0, 2, 1, 2}), 1U);
  EXPECT_EQ(victim("belady-size", {0, 2, 1, 2}), 0U);
  EXPECT_EQ(victim("belady-cost", {0, 2, 1, 2}), 0U);
  models_[0].reload = std::chrono::seconds(2);
  EXPECT_EQ(victim("belady-size", {0, 2, 1, 2}), 0U);
  EXPECT_EQ(victim("belady-cost", {0, 2, 1, 2}), 1U);
}

TEST_F(ClairvoyantChoice, MayWeighTime) {
  models_[0].size = Bytes(400);
  // b comes third, but an hour later.
  EXPECT_EQ(victim("belady-size", {0, 2, 1}), 0U);
  EXPECT_EQ(victim("belady-size-time", {0, 2, 1}), 1U);
  EXPECT_EQ(victim("belady-cost", {0, 2, 1}), 0U);
  EXPECT_EQ(victim("belady-cost-time", {0, 2, 1}), 1U);
}

}  // namespace
}  // namespace minerva::cachesim
