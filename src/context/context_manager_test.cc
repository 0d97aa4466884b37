// Leases, room and victims. For life-cycle calls and failures see life_cycle_test.cc.
#include "minerva/context/context_manager.h"

#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

using Lease = CoreTest;
using Eviction = CoreTest;
using Views = CoreTest;

// ---- leases ----

TEST_F(Lease, TheWholeWayOfAColdModel) {
  start(1000);
  add("a", 300);
  EXPECT_EQ(only<Inspect>(lease(kR1, "a")).model, "a");
  EXPECT_EQ(residency("a"), Residency::kPreparing);
  EXPECT_EQ(core_->queued(), 1U);
  const Spawn spawn = only<Spawn>(inspected("a"));
  EXPECT_EQ(spawn.footprint, Bytes::mib(300));
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(300));
  EXPECT_EQ(residency("a"), Residency::kLoading);
  now_ += seconds(2);
  const Grant grant = only<Grant>(ready("a"));
  EXPECT_EQ(grant.request, kR1);
  EXPECT_EQ(grant.engine, spawn.engine);
  EXPECT_EQ(grant.outcome, CacheOutcome::kMiss);
  EXPECT_EQ(grant.waited, seconds(2));
  EXPECT_EQ(core_->loaded_models(), std::vector<ModelId>{"a"});
  EXPECT_EQ(only<Grant>(lease(kR2, "a")).outcome, CacheOutcome::kHit);
  EXPECT_EQ(view("a").leases, 2U);
  EXPECT_TRUE(release(kR1).empty());
  EXPECT_TRUE(release(kR2).empty());
  EXPECT_EQ(view("a").access_count, 2U);
  EXPECT_EQ(core_->cache_stats().hits, 1U);
  EXPECT_EQ(core_->cache_stats().misses, 1U);
  EXPECT_DOUBLE_EQ(core_->cache_hit_rate(), 50.0);
}

TEST_F(Lease, OneLoadServesAllWhoWait) {
  start(1000);
  add("a", 300);
  EXPECT_EQ(all<Inspect>(lease(kR1, "a")).size(), 1U);
  EXPECT_TRUE(lease(kR2, "a").empty());
  EXPECT_EQ(all<Spawn>(inspected("a")).size(), 1U);
  EXPECT_TRUE(lease(kR3, "a").empty());
  const auto grants = all<Grant>(ready("a"));
  ASSERT_EQ(grants.size(), 3U);
  EXPECT_EQ(grants[0].request, kR1);
  EXPECT_EQ(grants[2].request, kR3);
  EXPECT_EQ(core_->cache_stats().misses, 3U);
}

TEST_F(Lease, AnUnknownModelIsRefusedAndNoLookup) {
  start(1000);
  EXPECT_EQ(only<Reject>(lease(kR1, "a")).error.code, ErrorCode::kModelNotFound);
  EXPECT_EQ(core_->cache_stats().misses, 0U);
}

TEST_F(Lease, QueuesAreBounded) {
  ContextOptions options;
  options.max_queue_per_model = 2;
  options.max_queue = 3;
  start(options);
  add("a", 1);
  add("b", 1);
  lease(kR1, "a");
  lease(kR2, "a");
  const Reject full_here = only<Reject>(lease(next_id(), "a"));
  EXPECT_EQ(full_here.error.code, ErrorCode::kQueueFull);
  EXPECT_GE(full_here.error.retry_after_s, 1);
  lease(kR3, "b");
  EXPECT_EQ(only<Reject>(lease(next_id(), "b")).error.code, ErrorCode::kQueueFull);
  EXPECT_EQ(core_->cache_stats().misses, 3U);
  // A request that need not wait is not refused.
  inspected("a");
  ready("a");
  EXPECT_EQ(only<Grant>(lease(kR4, "a")).outcome, CacheOutcome::kHit);
}

TEST_F(Lease, AHotModelTakesSoManyAtOnce) {
  ContextOptions options;
  options.max_queue_per_model = 2;
  start(options);
  add("a", 1);
  const RequestId first = heat_and_hold("a");
  for (int i = 1; i < 256 + 2; ++i) ASSERT_EQ(all<Grant>(lease(next_id(), "a")).size(), 1U) << i;
  const auto misses = core_->cache_stats().misses;
  const auto hits = core_->cache_stats().hits;
  const Reject full = only<Reject>(lease(kR1, "a"));
  EXPECT_EQ(full.error.code, ErrorCode::kQueueFull);
  EXPECT_GE(full.error.retry_after_s, 1);
  EXPECT_EQ(core_->cache_stats().misses, misses) << "a refused request is no lookup";
  EXPECT_EQ(core_->cache_stats().hits, hits);
  release(first);
  EXPECT_EQ(only<Grant>(lease(kR2, "a")).request, kR2);
}

TEST_F(Lease, ADeadlineIsArmedAndKept) {
  start(1000);
  add("a", 300);
  lease(kR1, "a", seconds(5));
  lease(kR2, "a", seconds(9));
  EXPECT_EQ(core_->next_timer(), now_ + seconds(5));
  EXPECT_TRUE(wait(milliseconds(4999)).empty());
  const Reject reject = only<Reject>(wait(milliseconds(1)));
  EXPECT_EQ(reject.request, kR1);
  EXPECT_EQ(reject.error.code, ErrorCode::kNoCapacity);
  EXPECT_GE(reject.error.retry_after_s, 1);
  EXPECT_NE(reject.error.message.find("waited 5 s"), std::string::npos);
  EXPECT_EQ(core_->next_timer(), now_ + seconds(4));
}

TEST_F(Lease, ADisconnectLeavesTheQueueAtOnce) {
  start(1000);
  add("a", 300);
  lease(kR1, "a");
  EXPECT_TRUE(step(RequestCancelled{kR1}).empty());
  EXPECT_EQ(core_->queued(), 0U);
  EXPECT_EQ(residency("a"), Residency::kCold);
  // The answer to the inspection comes too late to matter.
  EXPECT_TRUE(inspected("a").empty());
  EXPECT_EQ(core_->next_timer(), std::nullopt);
}

TEST_F(Lease, ALoadThatNobodyWaitsForAnyMoreIsKeptAsNeverUsed) {
  start(1000);
  add("a", 300);
  lease(kR1, "a");
  inspected("a");
  EXPECT_TRUE(step(RequestCancelled{kR1}).empty());
  EXPECT_TRUE(ready("a").empty());
  EXPECT_EQ(residency("a"), Residency::kHot);
  EXPECT_FALSE(view("a").since_last_use.has_value());
  EXPECT_FALSE(view("a").preloaded);
  EXPECT_EQ(core_->cache_stats().preloads, 0U);
}

TEST_F(Lease, StrayEventsChangeNothing) {
  start(1000);
  add("a", 300);
  const RequestId held = heat_and_hold("a");
  EXPECT_TRUE(step(EngineReady{engine_["a"]}).empty());
  EXPECT_TRUE(step(EngineReady{EngineId{77}}).empty());
  EXPECT_TRUE(step(EngineExited{EngineId{77}, Error{}}).empty());
  EXPECT_TRUE(step(LeaseReleased{RequestId{77}, LeaseEnd::kCompleted}).empty());
  EXPECT_TRUE(step(RequestCancelled{held}).empty());
  EXPECT_TRUE(step(Inspected{"a", 77, Bytes(1)}).empty());
  EXPECT_TRUE(step(Inspected{"nobody", 1, Bytes(1)}).empty());
  EXPECT_TRUE(step(ModelRemoved{"nobody"}).empty());
  EXPECT_EQ(view("a").leases, 1U);
}

TEST_F(Lease, AnAnswerToAnEarlierInspectionIsIgnored) {
  start(1000);
  add("a", 300);
  lease(kR1, "a");
  const std::uint64_t old_ticket = ticket_["a"];
  step(RequestCancelled{kR1});
  lease(kR2, "a");
  EXPECT_NE(ticket_["a"], old_ticket);
  EXPECT_TRUE(step(Inspected{"a", old_ticket, Bytes::mib(1)}).empty());
  EXPECT_EQ(only<Spawn>(inspected("a")).footprint, Bytes::mib(300));
}

// ---- room and victims ----

TEST_F(Eviction, TheLeastRecentlyUsedLeavesAndMemoryComesBackOnlyAfterTheReap) {
  start(1000, 3);
  for (const char* id : {"a", "b", "c", "d"}) add(id, 100);
  for (const char* id : {"a", "b", "c"}) heat(id);
  heat("a");  // so that b is the oldest
  lease(kR1, "d");
  const Stop stop = only<Stop>(inspected("d"));
  EXPECT_EQ(stop.model, "b");
  EXPECT_EQ(stop.victim_of, "d");
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(300));
  EXPECT_EQ(core_->cache_stats().evictions, 1U);
  EXPECT_EQ(residency("b"), Residency::kStopping);
  EXPECT_EQ(only<Spawn>(exited("b")).model, "d");
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(300));
}

TEST_F(Eviction, LfuAndFifoChooseTheirOwn) {
  start(1000, 2, "lfu");
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  heat("a");
  heat("a");
  heat("b");
  lease(kR1, "c");
  EXPECT_EQ(only<Stop>(inspected("c")).model, "b");

  start(1000, 2, "fifo");
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  heat("a");
  heat("b");
  heat("a");
  lease(kR1, "c");
  EXPECT_EQ(only<Stop>(inspected("c")).model, "a");
}

TEST_F(Eviction, OnlyWhoIsNeeded) {
  start(1000);
  add("small", 100);
  add("large", 800);
  add("new", 800);
  heat("small");
  heat("large");
  lease(kR1, "new");
  EXPECT_EQ(only<Stop>(inspected("new")).model, "large");
}

TEST_F(Eviction, SeveralAtOnce) {
  start(1000);
  for (const char* id : {"a", "b", "c"}) add(id, 300);
  add("d", 700);
  for (const char* id : {"a", "b", "c"}) heat(id);
  lease(kR1, "d");
  EXPECT_EQ(all<Stop>(inspected("d")).size(), 2U);
  EXPECT_TRUE(exited("a").empty());
  EXPECT_EQ(only<Spawn>(exited("b")).model, "d");
}

TEST_F(Eviction, NothingIsEvictedForWhatCannotRun) {
  start(1000, 1);
  add("a", 100);
  add("huge", 1001);
  add("broken", 100);
  heat("a");
  lease(kR1, "huge");
  const Reject too_large = only<Reject>(inspected("huge"));
  EXPECT_EQ(too_large.error.code, ErrorCode::kBudgetExceeded);
  EXPECT_NE(too_large.error.message.find("1001 MiB"), std::string::npos);
  EXPECT_NE(too_large.error.message.find("1000 MiB"), std::string::npos);
  lease(kR2, "broken");
  const Error invalid{ErrorCode::kInvalidModel, "not a GGUF file"};
  EXPECT_EQ(only<Reject>(step(Inspected{"broken", ticket_["broken"], fail(invalid)})).error.message, "not a GGUF file");
  EXPECT_EQ(residency("broken"), Residency::kCold);
  EXPECT_EQ(core_->loaded_models(), std::vector<ModelId>{"a"});
  EXPECT_EQ(core_->cache_stats().evictions, 0U);
}

TEST_F(Eviction, APreloadIsUnusedAndLeavesFirst) {
  start(1000, 2);
  for (const char* id : {"a", "b", "c"}) add(id, 100);
  heat("a");
  load(kR1, "b", /*preload=*/true);
  inspected("b");
  ready("b");
  EXPECT_TRUE(view("b").preloaded);
  EXPECT_FALSE(view("b").since_last_use.has_value());
  EXPECT_EQ(core_->cache_stats().preloads, 1U);
  lease(kR2, "c");
  EXPECT_EQ(only<Stop>(inspected("c")).model, "b");
}

TEST_F(Eviction, ASmallerBudgetTakesIdleOnesAndNoOtherIsStarted) {
  start(1000);
  for (const char* id : {"a", "b", "c"}) add(id, 300);
  heat("a");
  const RequestId held = heat_and_hold("b");
  EXPECT_EQ(only<Stop>(shrink(200)).model, "a");
  exited("a");
  EXPECT_EQ(core_->reserved_memory(), Bytes::mib(300));
  EXPECT_TRUE(core_->has_memory_pressure());
  EXPECT_EQ(only<Stop>(release(held)).model, "b");
  EXPECT_EQ(core_->cache_stats().evictions, 2U);
  exited("b");
  lease(kR1, "c");
  EXPECT_EQ(only<Reject>(inspected("c")).error.code, ErrorCode::kBudgetExceeded);
}

TEST_F(Eviction, APinnedModelStays) {
  start(1000, 1);
  add("a", 100, /*pinned=*/true);
  add("b", 100);
  heat("a");
  lease(kR1, "b", seconds(5));
  EXPECT_TRUE(inspected("b").empty());
  const Reject reject = only<Reject>(wait(seconds(5)));
  EXPECT_EQ(reject.error.code, ErrorCode::kNoCapacity);
  EXPECT_NE(reject.error.message.find("\"a\" is pinned"), std::string::npos);
  lease(kR2, "b");
  inspected("b");
  const auto actions = step(PinRequested{kR3, "a", false});
  EXPECT_TRUE(all<Done>(actions).at(0).changed);
  EXPECT_EQ(all<Stop>(actions).at(0).model, "a");
}

// A model that cannot fit beside the pinned ones keeps no other model waiting.
TEST_F(Eviction, OneBlockedByPinsBlocksNobody) {
  start(1000);
  add("pinned", 500, /*pinned=*/true);
  add("idle", 400);
  add("large", 800);
  add("small", 300);
  heat("pinned");
  heat("idle");
  lease(kR1, "large");
  EXPECT_TRUE(inspected("large").empty());
  lease(kR2, "small");
  EXPECT_EQ(only<Stop>(inspected("small")).model, "idle");
}

// ---- views ----

TEST_F(Views, MemoryAndPressure) {
  start(1000);
  add("a", 800);
  add("b", 1);
  heat("a");
  EXPECT_EQ(core_->estimated_memory_mb(), 800U);
  EXPECT_FALSE(core_->has_memory_pressure());
  heat("b");
  EXPECT_TRUE(core_->has_memory_pressure());
  EXPECT_EQ(core_->memory_budget(), Bytes::mib(1000));
  EXPECT_EQ(core_->models(now_).size(), 2U);
  EXPECT_EQ(core_->model("c", now_), std::nullopt);
}

TEST_F(Views, LastUseIsTheEndOfTheLastLease) {
  start(1000);
  add("a", 1);
  const RequestId held = heat_and_hold("a");
  now_ += seconds(5);
  release(held);
  now_ += seconds(2);
  EXPECT_EQ(view("a").since_last_use, seconds(2));
}

TEST_F(Views, PlanLoadSaysWhatItWouldCostAndHowFarThatIsKnown) {
  start(1000);
  for (const char* id : {"a", "b"}) add(id, 600);
  LoadPlan plan = core_->plan_load("b", Bytes::mib(600), now_).value();
  EXPECT_EQ(plan.confidence, Confidence::kUnknown) << "nothing was loaded yet";
  EXPECT_EQ(plan.expected_load_time, std::nullopt);
  const auto load_in = [&](const ModelId& model, Duration span) {
    const RequestId id = next_id();
    lease(id, model);
    inspected(model);
    now_ += span;
    ready(model);
    release(id);
  };
  load_in("a", seconds(4));
  plan = core_->plan_load("b", Bytes::mib(600), now_).value();
  EXPECT_EQ(plan.confidence, Confidence::kGuessed);
  EXPECT_EQ(plan.expected_load_time, seconds(4));
  EXPECT_EQ(plan.cost, seconds(4)) << "a would have to be loaded again";
  const RequestId on_b = next_id();
  lease(on_b, "b");
  inspected("b");
  exited("a", ErrorCode::kCancelled);
  now_ += seconds(1);
  ready("b");
  release(on_b);
  plan = core_->plan_load("a", Bytes::mib(600), now_).value();
  EXPECT_EQ(plan.evict, std::vector<ModelId>{"b"});
  EXPECT_EQ(plan.confidence, Confidence::kMeasured);
  EXPECT_EQ(plan.expected_load_time, seconds(4));
  EXPECT_EQ(plan.cost, seconds(1));
}

TEST_F(Views, PlanLoadSaysWhatALoadWouldDo) {
  start(1000);
  for (const char* id : {"a", "b"}) add(id, 400);
  add("c", 500);
  EXPECT_EQ(core_->plan_load("x", Bytes(1), now_).error().code, ErrorCode::kModelNotFound);
  heat("a");
  const RequestId held = heat_and_hold("b");
  LoadPlan plan = core_->plan_load("c", Bytes::mib(500), now_).value();
  EXPECT_TRUE(plan.possible);
  EXPECT_EQ(plan.evict, std::vector<ModelId>{"a"});
  EXPECT_EQ(plan.free, Bytes::mib(200));
  EXPECT_EQ(plan.confidence, Confidence::kGuessed) << "c was never loaded";
  EXPECT_TRUE(plan.expected_load_time.has_value());
  plan = core_->plan_load("c", Bytes::mib(900), now_).value();
  EXPECT_FALSE(plan.possible);
  EXPECT_NE(plan.reason.find("\"b\" is serving 1 request"), std::string::npos);
  EXPECT_FALSE(core_->plan_load("c", Bytes::mib(1001), now_).value().possible);
  EXPECT_EQ(core_->plan_load("a", Bytes::mib(400), now_).value().reason, "already loaded");
  release(held);
  EXPECT_EQ(core_->plan_load("c", Bytes::mib(900), now_).value().evict, (std::vector<ModelId>{"a", "b"}));
}

TEST(ContextManager, TheShortConstructors) {
  const ContextManager by_count(2);
  EXPECT_EQ(by_count.policy_name(), "lru");
  EXPECT_EQ(by_count.memory_budget(), Bytes(UINT64_MAX));
  ContextManager fifo = ContextManager::with_policy(2, make_fifo_policy());
  EXPECT_EQ(fifo.policy_name(), "fifo");
  const ContextManager moved = std::move(fifo);
  EXPECT_EQ(moved.policy_name(), "fifo");
  EXPECT_FALSE(moved.has_memory_pressure());
}

}  // namespace
}  // namespace minerva
