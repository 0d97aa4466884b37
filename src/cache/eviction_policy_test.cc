// What every policy must do, whatever it prefers; and the three classic ones agree exactly with simple versions of
// themselves.
#include "minerva/cache/eviction_policy.h"

#include <gtest/gtest.h>

#include <list>
#include <map>
#include <random>
#include <set>

#include "minerva/cache/model_cache.h"

namespace minerva {
namespace {

TimePoint at(std::uint64_t s) { return TimePoint(std::chrono::seconds(s)); }

std::vector<ModelId> victim_order(const ModelCache& cache) {
  std::vector<ModelId> order;
  cache.visit_victims([&](const CacheEntry& entry) {
    order.push_back(entry.id);
    return true;
  });
  return order;
}

TEST(PolicyRegistry, KnowsItsPolicies) {
  EXPECT_EQ(policy_names(), (std::vector<std::string>{"lru", "lfu", "fifo", "gdsf", "hazard"}));
  const auto unknown = make_policy("LRU");
  ASSERT_FALSE(unknown.has_value());
  EXPECT_EQ(unknown.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(unknown.error().message.find("lru, lfu, fifo, gdsf, hazard"), std::string::npos);
}

// ---- the contract of every policy ----

class EveryPolicy : public testing::TestWithParam<std::string> {
 protected:
  ModelCache cache_{make_policy(GetParam()).value()};
};

TEST_P(EveryPolicy, IsRegisteredUnderItsOwnName) { EXPECT_EQ(cache_.policy_name(), GetParam()); }

TEST_P(EveryPolicy, ATouchIsNoAccessAndRankDependsOnTheEntryAlone) {
  cache_.insert("a", Bytes(1), at(0), false);
  const EvictionRank before = cache_.rank("a");
  cache_.set_evictable("a", false);
  cache_.set_evictable("a", true);
  cache_.insert("b", Bytes(1), at(1), false);
  EXPECT_EQ(cache_.rank("a"), before);
}

// After random operations, the victims are exactly the evictable entries in strictly ascending rank, the first of them
// is victim(), and the same trace gives the same victims again.
TEST_P(EveryPolicy, OrdersEvictableEntriesStrictlyAndRepeatably) {
  const auto play = [&](std::uint32_t seed) {
    std::mt19937 random(seed);
    ModelCache cache(make_policy(GetParam()).value());
    std::vector<ModelId> evicted;
    std::set<ModelId> held;
    for (std::uint64_t step = 0; step < 400; ++step) {
      const ModelId id = "model " + std::to_string(random() % 60);
      const auto choice = random() % 6;
      if (!cache.contains(id)) {
        cache.insert(id, Bytes(1 + random() % 100), at(step), choice == 0);
      } else if (choice == 0) {
        const bool hold = !held.contains(id);
        cache.set_evictable(id, !hold);
        if (hold) {
          held.insert(id);
        } else {
          held.erase(id);
        }
      } else if (choice == 1) {
        cache.touch(id, at(step));
      } else if (choice == 2 && cache.victim() != nullptr) {
        evicted.push_back(cache.victim()->id);
        cache.remove(evicted.back(), true);
      } else {
        cache.use(id, at(step));
      }
      const std::vector<ModelId> order = victim_order(cache);
      EXPECT_EQ(order.size() + held.size(), cache.size());
      for (std::size_t i = 0; i < order.size(); ++i) {
        EXPECT_FALSE(held.contains(order[i]));
        if (i > 0) EXPECT_LT(cache.rank(order[i - 1]), cache.rank(order[i]));
      }
      EXPECT_EQ(cache.victim() == nullptr, order.empty());
      if (!order.empty()) EXPECT_EQ(cache.victim()->id, order.front());
    }
    EXPECT_EQ(cache.stats().evictions, evicted.size());
    return evicted;
  };
  for (std::uint32_t seed = 0; seed < 20; ++seed) EXPECT_EQ(play(seed), play(seed));
}

INSTANTIATE_TEST_SUITE_P(Registered, EveryPolicy, testing::ValuesIn(policy_names()),
                         [](const auto& info) { return info.param; });

// ---- what the others prefer ----

// Makes `id` resident and uses it `uses` times, a second apart, the last time at `last`.
void used(ModelCache& cache, const ModelId& id, std::uint64_t uses, std::uint64_t last, std::uint64_t bytes,
          std::uint64_t reload_s) {
  cache.insert(id, Bytes(bytes), at(last - uses), false);
  cache.update(id, Bytes(bytes), std::chrono::seconds(reload_s), false);
  for (std::uint64_t i = 1; i <= uses; ++i) cache.use(id, at(last - uses + i));
}

class WeighingPolicy : public testing::TestWithParam<std::string> {
 protected:
  ModelCache cache_{make_policy(GetParam()).value()};
};

TEST_P(WeighingPolicy, WhoIsUsedMoreStays) {
  used(cache_, "often", 9, 100, 10, 1);
  used(cache_, "seldom", 3, 100, 10, 1);
  EXPECT_EQ(cache_.victim()->id, "seldom");
}

TEST_P(WeighingPolicy, WhoFreesMoreGoes) {
  used(cache_, "small", 3, 100, 10, 1);
  used(cache_, "large", 3, 100, 30, 1);
  EXPECT_EQ(cache_.victim()->id, "large");
}

TEST_P(WeighingPolicy, WhoCostsMoreToReloadStays) {
  used(cache_, "dear", 3, 100, 10, 5);
  used(cache_, "cheap", 3, 100, 10, 1);
  EXPECT_EQ(cache_.victim()->id, "cheap");
}

TEST_P(WeighingPolicy, RemembersWhoLeft) {
  used(cache_, "regular", 50, 100, 10, 1);
  cache_.remove("regular", /*evicted=*/false);
  used(cache_, "newcomer", 3, 200, 10, 1);
  used(cache_, "regular", 1, 200, 10, 1);
  EXPECT_EQ(cache_.victim()->id, "newcomer");
}

TEST_P(WeighingPolicy, APreloadThatNobodyUsesGoesFirst) {
  used(cache_, "used", 1, 100, 1000, 1);
  used(cache_, "preloaded", 0, 200, 1, 1000);
  EXPECT_EQ(cache_.victim()->id, "preloaded");
}

INSTANTIATE_TEST_SUITE_P(Weighing, WeighingPolicy, testing::Values("gdsf", "hazard"),
                         [](const auto& info) { return info.param; });

TEST(Gdsf, OldMeritFadesAsOthersComeAndGo) {
  ModelCache cache(make_gdsf_policy());
  used(cache, "old favourite", 20, 100, 10, 1);
  std::uint64_t now = 100;
  std::size_t gone = 0;
  while (cache.contains("old favourite")) {
    ASSERT_LT(++gone, 100U);
    used(cache, "one of many " + std::to_string(gone), 2, now += 10, 10, 1);
    cache.remove(cache.victim()->id, /*evicted=*/true);
  }
  EXPECT_GT(gone, 8U) << "20 uses are worth those of ten that were used twice";
}

TEST(Gdsf, WhatParkingInflatesSaysNothingOfStopping) {
  ModelCache cache(make_gdsf_policy());
  used(cache, "a", 1, 10, 1, 100);
  cache.count_eviction("a");  // it was parked to make room for a new model
  used(cache, "b", 1, 20, 1, 1);
  cache.update("a", Bytes(1), std::chrono::seconds(2), /*parked=*/true);
  cache.update("b", Bytes(1), std::chrono::seconds(1), /*parked=*/true);
  EXPECT_EQ(cache.victim()->id, "b");
}

TEST(Hazard, ABurstProtectsForMinutesAndPopularityForDays) {
  ModelCache cache(make_hazard_policy());
  used(cache, "popular", 200, 10'000, 10, 1);
  used(cache, "burst", 5, 20'000, 10, 1);
  const auto victim_at = [&](std::uint64_t s) {
    cache.refresh(at(s));
    return cache.victim()->id;
  };
  EXPECT_EQ(victim_at(20'010), "popular");
  EXPECT_EQ(victim_at(60'000), "burst");
  EXPECT_EQ(victim_at(400'000), "burst");
}

TEST(Hazard, RemembersSoManyModelsAndNoMore) {
  const auto policy = make_hazard_policy();
  CacheEntry entry;
  const auto use = [&](const ModelId& id, std::uint64_t s) {
    entry.id = id;
    policy->used(entry, at(s));
  };
  for (std::uint64_t s = 0; s < 100; ++s) use("popular", s);
  use("early", 100);
  for (std::uint64_t s = 0; s < 3000; ++s) use("passing" + std::to_string(s), 101 + s);
  EXPECT_TRUE(policy->learned("popular").has_value());
  EXPECT_FALSE(policy->learned("early").has_value());
  EXPECT_FALSE(policy->learned("passing0").has_value());
  EXPECT_TRUE(policy->learned("passing2999").has_value());
  for (std::uint64_t s = 0; s < 3000; ++s) policy->learn("restored" + std::to_string(s), {at(5000), {1, 1, 1, 1, 1}});
  EXPECT_FALSE(policy->learned("passing2999").has_value());
}

TEST(Hazard, TellsWhatAModelIsWorthAndTheClassicsDoNot) {
  for (const std::string& name : policy_names()) {
    ModelCache cache(make_policy(name).value());
    used(cache, "a", 2, 10, 10, 1);
    EXPECT_EQ(cache.demand("a").has_value(), name == "hazard");
  }
}

// ---- plain versions ----

class Reference {
 public:
  virtual ~Reference() = default;
  virtual void insert(const ModelId& id) = 0;
  virtual void touch(const ModelId& id) = 0;
  virtual void use(const ModelId& id) { touch(id); }
  virtual void remove(const ModelId& id) = 0;
  virtual std::vector<ModelId> order() const = 0;
};

// Two lists: entries that were never used, in the order of arrival, and used ones, the latest at the back.
class ReferenceLru : public Reference {
 public:
  void insert(const ModelId& id) override { unused_.push_back(id); }
  void touch(const ModelId& id) override {
    remove(id);
    used_.push_back(id);
  }
  void remove(const ModelId& id) override {
    unused_.remove(id);
    used_.remove(id);
  }
  std::vector<ModelId> order() const override {
    std::vector<ModelId> all(unused_.begin(), unused_.end());
    all.insert(all.end(), used_.begin(), used_.end());
    return all;
  }

 private:
  std::list<ModelId> unused_, used_;
};

// The LRU order among entries with the same count.
class ReferenceLfu : public ReferenceLru {
 public:
  void use(const ModelId& id) override {
    ++counts_[id];
    touch(id);
  }
  void insert(const ModelId& id) override {
    counts_[id] = 0;
    ReferenceLru::insert(id);
  }
  std::vector<ModelId> order() const override {
    std::multimap<int, ModelId> by_count;  // equal counts stay in LRU order
    for (const ModelId& id : ReferenceLru::order()) by_count.emplace(counts_.at(id), id);
    std::vector<ModelId> all;
    for (const auto& [count, id] : by_count) all.push_back(id);
    return all;
  }

 private:
  std::map<ModelId, int> counts_;
};

class ReferenceFifo : public Reference {
 public:
  void insert(const ModelId& id) override { queue_.push_back(id); }
  void touch(const ModelId&) override {}
  void remove(const ModelId& id) override { queue_.remove(id); }
  std::vector<ModelId> order() const override { return {queue_.begin(), queue_.end()}; }

 private:
  std::list<ModelId> queue_;
};

std::unique_ptr<Reference> make_reference(std::string_view name) {
  if (name == "lru") return std::make_unique<ReferenceLru>();
  if (name == "lfu") return std::make_unique<ReferenceLfu>();
  if (name == "fifo") return std::make_unique<ReferenceFifo>();
  return nullptr;
}

class ClassicPolicy : public testing::TestWithParam<std::string> {};

TEST_P(ClassicPolicy, AgreesWithThePlainVersionOnRandomTraces) {
  for (std::uint32_t seed = 0; seed < 50; ++seed) {
    std::mt19937 random(seed);
    ModelCache cache(make_policy(GetParam()).value());
    const std::unique_ptr<Reference> reference = make_reference(GetParam());
    for (std::uint64_t step = 0; step < 500; ++step) {
      const ModelId id(1, static_cast<char>('a' + random() % 10));
      const auto choice = random() % 8;
      if (!cache.contains(id)) {
        cache.insert(id, Bytes(1), at(step), choice < 3);
        reference->insert(id);
      } else if (choice == 0) {
        cache.remove(id, true);
        reference->remove(id);
      } else if (choice == 1) {
        cache.touch(id, at(step));
        reference->touch(id);
      } else {
        cache.use(id, at(step));
        reference->use(id);
      }
      ASSERT_EQ(victim_order(cache), reference->order()) << GetParam() << " seed " << seed << " step " << step;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, ClassicPolicy, testing::Values("lru", "lfu", "fifo"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace minerva
