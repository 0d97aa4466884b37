// ModelHost kills engines that should work and do not. The fake engine does nothing at all; the tests differ in what it
// is expected to do.
#include "host/host_fixture.h"

namespace minerva {
namespace {

using std::chrono::milliseconds;

class WatchedDriver final : public OneByteDriver {
 public:
  explicit WatchedDriver(io::Loop& loop) : loop_(loop) {}
  Result<std::unique_ptr<Engine>> start(const ModelSpec&, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    auto engine = std::make_unique<IdleEngine>(loop_, std::move(handlers));
    ++started;
    if (loads) engine->become_ready();
    newest = engine.get();
    return engine;
  }
  bool loads = true;
  int started = 0;
  IdleEngine* newest = nullptr;

 private:
  io::Loop& loop_;
};

class WatchdogTest : public HostTest {
 protected:
  void SetUp() override {
    HostTest::SetUp();
    start_host(driver_, ContextManager(std::size_t{0}), {milliseconds(1), milliseconds(40)});
  }

  void acquire(const char* model, ModelHost::LeaseCallback answer) {
    host_->acquire(model, TimePoint::max(), std::move(answer));
  }
  // Runs the test's loop until an engine is gone.
  void run_until_an_engine_is_gone() {
    host_->on_engine_gone([this](EngineId id) {
      gone_ = id;
      loop_.stop();
    });
    loop_.run();
  }

  WatchedDriver driver_{loop_};
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
    // The engine of b has nothing to do for that long, and then longer.
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
