// What one process knew is there in the next one. Fake engines are ready at once.
#include "host/history_keeper.h"

#include "host/host_fixture.h"

namespace minerva {
namespace {

class HistoryKeeperTest : public HostTest {
 protected:
  void TearDown() override {
    keeper_.reset();
    HostTest::TearDown();
  }
  // A new process, as far as the core can tell.
  void start(bool bring_back = true) {
    keeper_.reset();
    start_host(driver_, ContextManager(ContextOptions{}, make_hazard_policy()), ModelHost::Options{});
    keeper_.emplace(loop_, *host_, file(), bring_back);
    settle();
  }
  std::string file() const { return (folder_ / "state" / "history.json").string(); }
  // Until everything that was posted has happened.
  void settle() {
    for (int i = 0; i < 20; ++i) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }
  void use(const ModelId& model) {
    Lease lease;
    host_->acquire(model, TimePoint::max(), [&](Result<Lease> granted) { lease = std::move(*granted); });
    settle();
    ASSERT_TRUE(lease);
    lease.release(LeaseEnd::kCompleted);
    settle();
  }
  ModelView view(const ModelId& model) const { return host_->context().model(model, Clock::now()).value(); }
  void pin(const ModelId& model) {
    host_->pin(model, true, [](const Result<Done>&) {});
  }

  ReadyDriver driver_{loop_};
  std::optional<HistoryKeeper> keeper_;
};

TEST_F(HistoryKeeperTest, TheNextProcessGoesOn) {
  start();
  use("a");
  use("a");
  pin("b");
  keeper_->finish();

  start();
  EXPECT_EQ(view("a").residency, Residency::kHot);
  EXPECT_TRUE(view("a").preloaded);
  EXPECT_EQ(view("a").access_count, 2U);
  EXPECT_EQ(view("b").residency, Residency::kCold);
  EXPECT_TRUE(view("b").pinned);
  const CacheStats expected{.hits = 1, .misses = 1, .preloads = 1};
  EXPECT_EQ(host_->context().cache_stats(), expected);
  use("a");
  EXPECT_FALSE(view("a").preloaded);
  EXPECT_EQ(host_->context().cache_stats().hits, 2U);
}

TEST_F(HistoryKeeperTest, AnOrderlyEndKeepsWhoWasResident) {
  start();
  use("a");
  bool drained = false;
  host_->drain(Clock::now(), [&] { drained = true; });
  settle();
  ASSERT_TRUE(drained);
  keeper_->finish();

  start();
  EXPECT_EQ(view("a").residency, Residency::kHot);
}

TEST_F(HistoryKeeperTest, WhatCouldNotBeWrittenIsWrittenInTheEnd) {
  start();
  std::filesystem::create_directories(file());  // in the way
  use("a");
  keeper_->finish();
  std::filesystem::remove(file());
  keeper_->finish();

  start();
  EXPECT_EQ(view("a").residency, Residency::kHot);
}

TEST_F(HistoryKeeperTest, NobodyComesBackWhereThatIsNotWanted) {
  start();
  use("a");
  keeper_->finish();

  start(/*bring_back=*/false);
  EXPECT_EQ(view("a").residency, Residency::kCold);
  EXPECT_EQ(host_->context().cache_stats().misses, 1U);
}

TEST_F(HistoryKeeperTest, ADamagedFileIsSetAside) {
  start();
  use("a");
  keeper_->finish();
  std::filesystem::resize_file(file(), std::filesystem::file_size(file()) - 2);

  start();
  EXPECT_EQ(view("a").residency, Residency::kCold);
  EXPECT_EQ(host_->context().cache_stats(), CacheStats{});
  EXPECT_TRUE(std::filesystem::exists(file() + ".damaged"));
  use("a");
  keeper_->finish();
  start();
  EXPECT_EQ(view("a").residency, Residency::kHot);
}

TEST_F(HistoryKeeperTest, ClearedIsClearedForTheNextProcessToo) {
  start();
  use("a");
  EXPECT_TRUE(host_->clear({.stats = true, .history = true}).empty());
  keeper_->finish();

  start();
  EXPECT_EQ(view("a").residency, Residency::kHot);
  EXPECT_EQ(view("a").access_count, 0U);
  EXPECT_EQ(host_->context().cache_stats(), CacheStats{.preloads = 1});
}

}  // namespace
}  // namespace minerva
