#include "cachesim/replay.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "cachesim/clairvoyant.h"
#include "cachesim/random_traces.h"

namespace minerva::cachesim {
namespace {

using std::chrono::nanoseconds;
using std::chrono::seconds;

constexpr std::uint64_t kSeeds = 200;

PolicyMaker registered(const std::string& name) {
  return [name](const Progress&) { return make_policy(name).value(); };
}

void check_invariants(const ContextManager& manager) { manager.check_invariants(); }

// A plain LRU of bytes. It takes victims from the oldest on until the newcomer fits. Then it spares, from the youngest
// victim on, those that turn out not to be needed.
std::vector<Move> plain_lru(const Trace& trace, const World& world, Bytes capacity) {
  std::vector<std::uint32_t> oldest_first;
  Bytes used;
  std::vector<Move> moves;
  for (const TraceRequest& request : trace.requests) {
    const auto found = std::find(oldest_first.begin(), oldest_first.end(), request.model);
    if (found != oldest_first.end()) {
      oldest_first.erase(found);
    } else {
      const Bytes size = world.models[request.model].size;
      std::vector<std::uint32_t> victims;
      for (std::size_t i = 0; used + size > capacity; ++i) {
        victims.push_back(oldest_first[i]);
        used -= world.models[oldest_first[i]].size;
      }
      for (std::size_t i = victims.size(); i-- > 0;) {
        const Bytes kept = world.models[victims[i]].size;
        if (used + kept + size > capacity) continue;
        used += kept;
        victims.erase(victims.begin() + static_cast<std::ptrdiff_t>(i));
      }
      for (const std::uint32_t victim : victims) {
        moves.push_back({.comes = false, .model = victim});
        oldest_first.erase(std::find(oldest_first.begin(), oldest_first.end(), victim));
      }
      moves.push_back({.comes = true, .model = request.model});
      used += size;
    }
    oldest_first.push_back(request.model);
  }
  return moves;
}

TEST(Replay, LruMissesAndEvictsWhatAPlainOneDoes) {
  std::size_t evictions = 0;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Trace trace = random_trace(seed, {.models = 3 + seed % 15, .requests = 300});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    const Outcome outcome =
        replay(trace, world, registered("lru"), {.capacity = capacity, .after_step = check_invariants});
    ASSERT_EQ(outcome.moves, plain_lru(trace, world, capacity)) << "seed " << seed;
    evictions += static_cast<std::size_t>(
        std::count_if(outcome.moves.begin(), outcome.moves.end(), [](const Move& m) { return !m.comes; }));
  }
  EXPECT_GT(evictions, 10'000U);
}

std::vector<std::pair<std::string, PolicyMaker>> all_policies(const Trace& trace, const World& world, Bytes capacity) {
  std::vector<std::pair<std::string, PolicyMaker>> policies;
  for (const std::string& name : policy_names()) policies.emplace_back(name, registered(name));
  for (const std::string& name : clairvoyant_names())
    policies.emplace_back(name, make_clairvoyant(name, trace, world, capacity));
  return policies;
}

TEST(Replay, CountsAddUpForEveryPolicy) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Trace trace = random_trace(seed, {.requests = 300});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    for (const auto& [name, maker] : all_policies(trace, world, capacity)) {
      SCOPED_TRACE(name);
      const Outcome outcome = replay(trace, world, maker, {.capacity = capacity, .after_step = check_invariants});
      Duration cold_wait{};
      Bytes loaded;
      std::uint64_t loads = 0;
      for (const Move& move : outcome.moves) {
        if (!move.comes) continue;
        ++loads;
        cold_wait += world.models[move.model].reload;
        loaded += world.models[move.model].size;
      }
      EXPECT_EQ(outcome.hits + outcome.misses, trace.requests.size());
      EXPECT_EQ(outcome.misses, loads);
      EXPECT_EQ(outcome.cold_wait, cold_wait);
      EXPECT_EQ(outcome.loaded, loaded);
      // Each request waits only for its own load.
      EXPECT_EQ(std::accumulate(outcome.waits.begin(), outcome.waits.end(), Duration{}), cold_wait);
      std::vector<std::uint32_t> in_order(trace.requests.size());
      std::iota(in_order.begin(), in_order.end(), 0);
      EXPECT_EQ(outcome.granted, in_order);
    }
  }
}

// An LRU policy that notes when each request is granted.
class WatchingPolicy final : public EvictionPolicy {
 public:
  explicit WatchingPolicy(std::vector<TimePoint>& uses) : uses_(uses) {}
  std::string_view name() const override { return "watching"; }
  std::unique_ptr<EvictionPolicy> clone() const override { return std::make_unique<WatchingPolicy>(uses_); }
  EvictionRank rank(const CacheEntry& entry, TimePoint now) const override { return lru_->rank(entry, now); }
  std::string standing(const CacheEntry& entry, TimePoint now) const override { return lru_->standing(entry, now); }
  void used(const CacheEntry& /*entry*/, TimePoint now) override { uses_.push_back(now); }

 private:
  std::unique_ptr<EvictionPolicy> lru_ = make_lru_policy();
  std::vector<TimePoint>& uses_;
};

TEST(Replay, AClosedLoopWaitsForTheRequestBefore) {
  const Trace trace = random_trace(1, {.requests = 300});
  const World world = make_world(trace, 1);
  std::vector<TimePoint> uses;
  const auto maker = [&](const Progress&) { return std::make_unique<WatchingPolicy>(uses); };
  const Outcome outcome = replay(trace, world, maker, {.capacity = random_capacity(1, world)});
  ASSERT_EQ(uses.size(), trace.requests.size());
  const TimePoint start = uses[0] - outcome.waits[0] - trace.requests[0].arrival;
  std::size_t late = 0;
  for (std::size_t i = 1; i < uses.size(); ++i) {
    const TimePoint arrives = start + trace.requests[i].arrival;
    const TimePoint issued = std::max(arrives, uses[i - 1] + nanoseconds(1));
    EXPECT_EQ(uses[i], issued + outcome.waits[i]) << i;
    if (issued > arrives) ++late;
  }
  EXPECT_GT(late, 10U);
  EXPECT_LT(late, 290U);
}

// A guess takes no room from other models and is the first to leave. So a model that is in memory without guesses is
// also there with them.
TEST(Replay, NobodyWaitsLongerForGuesses) {
  PredictionStats all;
  for (std::uint64_t seed = 1; seed <= kSeeds; ++seed) {
    const Trace trace = random_trace(seed, {});
    const World world = make_world(trace, seed);
    ReplayOptions options{.capacity = random_capacity(seed, world), .after_step = check_invariants};
    const Outcome without = replay(trace, world, registered("lru"), options);
    options.predict = true;
    const Outcome with = replay(trace, world, registered("lru"), options);
    for (std::size_t i = 0; i < trace.requests.size(); ++i) {
      ASSERT_LE(with.waits[i], without.waits[i]) << "request " << i << ", seed " << seed;
    }
    EXPECT_GE(with.hits, without.hits);
    all.used += with.predictions.used;
    all.wasted += with.predictions.wasted;
  }
  EXPECT_GT(all.used, 0U);
  EXPECT_GT(all.wasted, 0U);
}

TEST(Replay, TimedServesEachRequestOnce) {
  Duration waited{};
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Trace trace = random_trace(seed, {.requests = 300});
    const World world = make_world(trace, seed);
    const Bytes capacity = random_capacity(seed, world);
    for (const auto& [name, maker] : all_policies(trace, world, capacity)) {
      SCOPED_TRACE(name);
      Outcome outcome =
          replay(trace, world, maker, {.capacity = capacity, .timed = true, .after_step = check_invariants});
      std::vector<std::uint32_t> once(trace.requests.size());
      std::iota(once.begin(), once.end(), 0);
      std::sort(outcome.granted.begin(), outcome.granted.end());
      EXPECT_EQ(outcome.granted, once);
      EXPECT_EQ(outcome.hits + outcome.misses, trace.requests.size());
      for (const Duration wait : outcome.waits) {
        EXPECT_GE(wait, Duration::zero());
        waited += wait;
      }
    }
  }
  EXPECT_GT(waited, seconds(1000));
}

Trace two_models(std::vector<TraceRequest> requests) {
  return {.models = {{.id = "a", .size = Bytes(5), .reload = seconds(2)},
                     {.id = "b", .size = Bytes(5), .reload = seconds(3)}},
          .users = {"u"},
          .requests = std::move(requests)};
}

TEST(Replay, TimedRequestsWaitForLeasesAndLoads) {
  const Trace trace = two_models({{seconds(0), 0, 0, seconds(10)},   // loads until 2, leased until 12
                                  {seconds(1), 0, 0, seconds(1)},    // joins that load
                                  {seconds(4), 1, 0, seconds(1)}});  // waits for 12, loads until 15
  const World world = make_world(trace, 1);
  const Outcome one_at_a_time =
      replay(trace, world, registered("lru"), {.capacity = Bytes(5), .timed = true, .after_step = check_invariants});
  EXPECT_EQ(one_at_a_time.waits, (std::vector<Duration>{seconds(2), seconds(1), seconds(11)}));
  EXPECT_EQ(one_at_a_time.misses, 3U);
  EXPECT_EQ(one_at_a_time.cold_wait, seconds(5));
  EXPECT_EQ(one_at_a_time.moves, (std::vector<Move>{{true, 0}, {false, 0}, {true, 1}}));

  const Outcome together =
      replay(trace, world, registered("lru"), {.capacity = Bytes(10), .timed = true, .after_step = check_invariants});
  EXPECT_EQ(together.waits, (std::vector<Duration>{seconds(2), seconds(1), seconds(3)}));
}

TEST(Replay, TimedLoadsRunAtTheSameTime) {
  const Trace trace = two_models({{seconds(0), 0, 0, seconds(1)}, {seconds(1), 1, 0, seconds(1)}});
  const World world = make_world(trace, 1);
  const Outcome outcome = replay(trace, world, registered("lru"), {.capacity = Bytes(10), .timed = true});
  EXPECT_EQ(outcome.waits, (std::vector<Duration>{seconds(2), seconds(3)}));
}

}  // namespace
}  // namespace minerva::cachesim
