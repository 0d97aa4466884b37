// ModelHost looks after engines that should work. A fake engine does nothing at all; what it is expected to do differs.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "host/model_host.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;
using std::chrono::milliseconds;

// An engine that is never active by itself.
class FakeEngine final : public Engine {
 public:
  FakeEngine(io::Loop& loop, Handlers handlers) : loop_(loop), handlers_(std::move(handlers)) {}
  const io::Address& address() const override { return address_; }
  pid_t pid() const override { return 0; }
  void share_cores(unsigned) override {}
  void stop(Duration) override { exit_with({ErrorCode::kCancelled, "stopped"}); }
  std::uint64_t activity() const override { return 0; }
  void kill(Error reason) override { exit_with(std::move(reason)); }

  void become_ready() { handlers_.on_ready(); }

 private:
  void exit_with(Error reason) {
    loop_.post([call = handlers_.on_exit, reason = std::move(reason)] { call(reason); });
  }
  io::Loop& loop_;
  io::Address address_;
  Handlers handlers_;
};

class FakeDriver final : public EngineDriver {
 public:
  explicit FakeDriver(io::Loop& loop) : loop_(loop) {}
  void inspect(const ModelSpec&, std::function<void(Result<ModelMetadata>)> done) override {
    ModelMetadata metadata;
    metadata.predicted = Bytes(1);
    done(metadata);
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec&, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    auto engine = std::make_unique<FakeEngine>(loop_, std::move(handlers));
    ++started;
    if (loads) loop_.post([made = engine.get()] { made->become_ready(); });
    newest = engine.get();
    return engine;
  }
  bool loads = true;
  int started = 0;
  FakeEngine* newest = nullptr;

 private:
  io::Loop& loop_;
};

class WatchdogTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "watchdog-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = fs::canonical(pattern);
    for (const char* name : {"a.gguf", "b.gguf"}) std::ofstream(folder_ / name) << "GGUF";
    options_.models_dirs = {folder_.string()};
    catalog_.emplace(options_, driver_);
    host_.emplace(loop_, *catalog_, driver_, ContextManager(std::size_t{0}),
                  ModelHost::Options{milliseconds(1), milliseconds(40)});
    host_->apply(catalog_->apply(Catalog::scan(options_)));
  }
  void TearDown() override { fs::remove_all(folder_); }

  void acquire(const char* model, ModelHost::LeaseCallback answer) {
    host_->acquire(model, TimePoint::max(), std::move(answer));
  }
  // Ends the test's loop when an engine is gone.
  void run_until_an_engine_is_gone() {
    host_->on_engine_gone([this](EngineId id) {
      gone_ = id;
      loop_.stop();
    });
    loop_.run();
  }

  fs::path folder_;
  io::Loop loop_;
  FakeDriver driver_{loop_};
  CatalogOptions options_;
  std::optional<Catalog> catalog_;
  std::optional<ModelHost> host_;
  EngineId gone_{};
};

TEST_F(WatchdogTest, AnEngineThatDoesNothingWhileItLoadsIsKilled) {
  driver_.loads = false;
  acquire("a", [](const Result<Lease>&) {});
  run_until_an_engine_is_gone();
  const auto why = host_->cause_of_death(gone_);
  ASSERT_TRUE(why.has_value());
  EXPECT_EQ(why->code, ErrorCode::kEngineTimeout);
  EXPECT_NE(why->message.find("while loading"), std::string::npos) << why->message;
}

TEST_F(WatchdogTest, AWaitForTheEngineCountsAndAWaitForTheClientDoesNot) {
  Lease reads_slowly;
  Lease waits;
  std::optional<Lease::EngineWait> wait;
  acquire("a", [&](Result<Lease> lease) {
    reads_slowly = std::move(*lease);
    // The engine of b has nothing to do for as long, and then more.
    acquire("b", [&](Result<Lease> other) {
      waits = std::move(*other);
      wait.emplace(waits);
    });
  });
  run_until_an_engine_is_gone();
  EXPECT_EQ(gone_, waits.engine());
  EXPECT_TRUE(host_->engine_alive(reads_slowly.engine()));
  wait.reset();
  reads_slowly.release(LeaseEnd::kCompleted);
  // The request may go on with another engine.
  std::optional<EngineId> next;
  const EngineId dead = waits.engine();
  host_->retry(std::move(waits), TimePoint::max(), [&](Result<Lease> lease) {
    next = lease->engine();
    loop_.stop();
  });
  while (!next) loop_.run();
  EXPECT_NE(*next, dead);
  EXPECT_EQ(driver_.started, 3);
  EXPECT_EQ(host_->context().request_counts(), (RequestCounts{.accepted = 2, .completed = 1, .cancelled = 1}));
}

}  // namespace
}  // namespace minerva
