// The next process knows what the one before it knew. The fake engines are ready at once.
#include "host/history_keeper.h"

#include <algorithm>
#include <cerrno>
#include <source_location>
#include <stdexcept>

#include "host/history_file.h"
#include "host/host_fixture.h"
#include "io/failing_files.h"

namespace minerva {
namespace {

class HistoryKeeperTest : public HostTest {
 protected:
  void TearDown() override {
    keeper_.reset();
    HostTest::TearDown();
  }
  // Starts what the core takes for a new process.
  void start(bool bring_back = true) {
    keeper_.reset();
    start_host(driver_, ContextManager(ContextOptions{}, make_hazard_policy()), ModelHost::Options{});
    keeper_.emplace(loop_, *host_, file(), bring_back);
    settle();
  }
  std::string file() const { return (folder_ / "state" / "history.json").string(); }
  // Runs the loop until everything that was posted has been carried out.
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

// Whichever call fails: the next process finds what the last complete write said, and this one keeps working.
TEST_F(HistoryKeeperTest, ADiskThatFailsCostsTheNewestOnly) {
  start();
  pin("a");
  keeper_->finish();
  for (int n = 1; n <= 6; ++n) {
    SCOPED_TRACE(n);
    io::FailingFiles disk(folder_ / "state");
    keeper_.reset();
    start_host(driver_, ContextManager(ContextOptions{}, make_hazard_policy()), ModelHost::Options{});
    keeper_.emplace(loop_, *host_, file(), true, disk);
    settle();
    EXPECT_TRUE(view("a").pinned);
    keeper_->finish();  // so that no other thread is writing
    const bool pinned = n % 2 == 1;
    host_->pin("b", pinned, [](const Result<Done>&) {});
    disk.fail_at(n, ENOSPC, /*also_after=*/true);
    keeper_->finish();
    disk.lose_power(io::FailingFiles::Loss::kBytes);
    const auto kept = io::StateFile(file(), kHistoryFormat).read();
    ASSERT_TRUE(kept) << "the old or the new";
    EXPECT_TRUE(parse_history(*kept, Moment::current()));
    disk.fail_no_more();
    keeper_->finish();
    start();
    EXPECT_EQ(view("b").pinned, pinned);
  }
}

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
  std::filesystem::create_directories(file());  // a folder has the file's name
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

TEST_F(HistoryKeeperTest, HowLongALoadTakesIsKeptOnce) {
  const auto load_time = [&] {
    const std::vector<ModelHistory> models = host_->context().history().models;
    const auto it = std::find_if(models.begin(), models.end(), [](const ModelHistory& m) { return m.id == "a"; });
    return it == models.end() ? std::nullopt : it->load_time;
  };
  options_.cache_dir = (folder_ / "state").string();
  start();
  use("a");
  ASSERT_TRUE(load_time());
  keeper_->finish();
  catalog_->finish();
  EXPECT_EQ(io::StateFile(file(), kHistoryFormat).read()->find("\"load_ms\""), std::string::npos);
  start(/*bring_back=*/false);
  EXPECT_EQ(load_time(), host_->metadata("a")->load_time);
  EXPECT_TRUE(load_time());
}

TEST_F(HistoryKeeperTest, ASecondSubscriberIsABugAndNoSilence) {
  start();
  const CheckHandler before = set_check_handler(
      [](std::string_view what, const std::source_location&) { throw std::logic_error(std::string(what)); });
  EXPECT_THROW(host_->on_change([] {}), std::logic_error);
  set_check_handler(before);
  keeper_.reset();
  int changes = 0;
  host_->on_change([&] { ++changes; });
  use("a");
  EXPECT_GT(changes, 0) << "the first one had gone";
}

}  // namespace
}  // namespace minerva
