#include "minerva/cache/model_cache.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TimePoint at(int s) { return TimePoint(std::chrono::seconds(s)); }

TEST(ModelCache, StartsEmpty) {
  const ModelCache cache;
  EXPECT_EQ(cache.policy_name(), "lru");
  EXPECT_EQ(cache.size(), 0U);
  EXPECT_EQ(cache.victim(), nullptr);
  EXPECT_EQ(cache.find("a"), nullptr);
  EXPECT_DOUBLE_EQ(cache.stats().hit_rate(), 0.0);
}

TEST(ModelCache, ListsInOrderOfInsertion) {
  ModelCache cache;
  for (const char* id : {"c", "a", "b"}) cache.insert(id, Bytes(1), at(0), false);
  cache.use("c", at(1));
  EXPECT_EQ(cache.list(), (std::vector<ModelId>{"c", "a", "b"}));
  cache.remove("a", false);
  cache.insert("a", Bytes(1), at(2), false);
  EXPECT_EQ(cache.list(), (std::vector<ModelId>{"c", "b", "a"}));
}

TEST(ModelCache, ACopyGoesItsOwnWay) {
  for (const std::string& policy : policy_names()) {
    ModelCache cache(make_policy(policy).value());
    for (const char* id : {"a", "b", "c"}) {
      cache.insert(id, Bytes(1), at(1), false);
      cache.use(id, at(2));
    }
    const std::string first = cache.victim()->id;
    const auto copy = std::make_unique<ModelCache>(cache);
    EXPECT_EQ(copy->victim()->id, first) << policy;
    EXPECT_EQ(copy->list(), cache.list()) << policy;
    copy->use(first, at(3));
    copy->use(first, at(4));
    copy->remove("b", false);
    EXPECT_EQ(cache.victim()->id, first) << policy;
    EXPECT_EQ(cache.find(first)->access_count, 1U) << policy;
    EXPECT_EQ(cache.list(), (std::vector<ModelId>{"a", "b", "c"})) << policy;
    cache.remove("c", false);
    EXPECT_EQ(copy->list(), (std::vector<ModelId>{"a", "c"})) << policy;
  }
}

TEST(ModelCache, WhatIsExpectedToBeUsedStaysAndIsNotCounted) {
  for (const std::string& policy : {"lru", "gdsf", "hazard"}) {
    ModelCache cache(make_policy(policy).value());
    for (const char* id : {"a", "b"}) {
      cache.insert(id, Bytes(1), at(1), false);
      cache.use(id, at(2));
    }
    ASSERT_EQ(cache.victim()->id, "a") << policy;
    cache.expect_use("a", at(3));
    EXPECT_EQ(cache.victim()->id, "b") << policy;
    EXPECT_EQ(cache.find("a")->access_count, 1U) << policy;
  }
}

TEST(ModelCache, EntriesRememberUse) {
  ModelCache cache;
  cache.insert("a", Bytes::mib(3), at(1), true);
  EXPECT_TRUE(cache.find("a")->preloaded);
  EXPECT_EQ(cache.find("a")->last_use_tick, 0U);
  cache.touch("a", at(2));
  EXPECT_EQ(cache.find("a")->access_count, 0U);
  EXPECT_EQ(cache.find("a")->last_used, at(2));
  EXPECT_FALSE(cache.find("a")->preloaded);
  cache.use("a", at(3));
  EXPECT_EQ(cache.find("a")->access_count, 1U);
  EXPECT_EQ(cache.find("a")->footprint, Bytes::mib(3));
  // The count belongs to the stay in the cache: it does not survive removal.
  cache.remove("a", true);
  cache.insert("a", Bytes::mib(3), at(4), false);
  EXPECT_EQ(cache.find("a")->access_count, 0U);
}

TEST(ModelCache, CountsExactly) {
  ModelCache cache;
  cache.count_lookup(true);
  cache.count_lookup(true);
  cache.count_lookup(false);
  cache.count_preload();
  cache.insert("a", Bytes(1), at(0), false);
  cache.insert("b", Bytes(1), at(0), false);
  cache.remove("a", true);
  cache.remove("b", false);
  EXPECT_EQ(cache.stats().hits, 2U);
  EXPECT_EQ(cache.stats().misses, 1U);
  EXPECT_EQ(cache.stats().preloads, 1U);
  EXPECT_EQ(cache.stats().evictions, 1U);
  EXPECT_DOUBLE_EQ(cache.stats().hit_rate(), 200.0 / 3.0);
}

TEST(ModelCache, WhatMayNotBeEvictedIsNoVictimButKeepsItsRank) {
  ModelCache cache;
  for (const char* id : {"a", "b"}) cache.insert(id, Bytes(1), at(0), false);
  cache.set_evictable("a", false);
  EXPECT_EQ(cache.victim()->id, "b");
  cache.set_evictable("b", false);
  EXPECT_EQ(cache.victim(), nullptr);
  EXPECT_LT(cache.rank("a"), cache.rank("b"));
  cache.use("a", at(1));
  EXPECT_EQ(cache.victim(), nullptr);
  EXPECT_GT(cache.rank("a"), cache.rank("b"));
  cache.set_evictable("a", true);
  EXPECT_EQ(cache.victim()->id, "a");
}

TEST(ModelCache, VisitStopsWhenTold) {
  ModelCache cache;
  for (const char* id : {"a", "b", "c"}) cache.insert(id, Bytes(1), at(0), false);
  std::vector<ModelId> seen;
  cache.visit_victims([&](const CacheEntry& entry) {
    seen.push_back(entry.id);
    return seen.size() < 2;
  });
  EXPECT_EQ(seen, (std::vector<ModelId>{"a", "b"}));
}

TEST(ModelCacheDeathTest, MisuseIsABug) {
  ModelCache cache;
  EXPECT_DEATH(cache.use("a", at(0)), "not resident");
  EXPECT_DEATH(cache.remove("a", true), "not resident");
  cache.insert("a", Bytes(1), at(0), false);
  EXPECT_DEATH(cache.insert("a", Bytes(1), at(0), false), "insert of a resident");
  EXPECT_DEATH(ModelCache{nullptr}, "needs a policy");
}

}  // namespace
}  // namespace minerva
