// ModelHost asks engines how much memory they really hold, and keeps the answer. The test says what fake engines
// answer.
#include "engine/engine_arguments.h"
#include "host/host_fixture.h"

namespace minerva {
namespace {

class FakeAgent final : public EngineAgent {
 public:
  FakeAgent(io::Loop& loop, std::vector<std::string>& asked, std::optional<Bytes>& footprint)
      : loop_(loop), asked_(asked), footprint_(footprint) {}
  const std::string& why_not_parkable() const override { return why_not_; }
  void park(Bytes, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done) override {
    asked_.emplace_back("park");
    loop_.post([done] {
      done(protocol::ParkReport{
          .parked = true, .refused = {}, .written_bytes = 100, .image_bytes = 100, .residue_bytes = 7});
    });
  }
  void drop_pages(Bytes, std::function<void(Bytes)>) override {}
  void wake(std::function<void(Result<protocol::ParkReport>)> done) override {
    asked_.emplace_back("wake");
    loop_.post([done] { done(protocol::ParkReport{}); });
  }
  void measure(std::function<void(std::optional<Measurement>)> done) override {
    asked_.emplace_back("measure");
    loop_.post([done, footprint = footprint_] {
      done(footprint ? std::optional(Measurement{*footprint, {}}) : std::nullopt);
    });
  }
  void save(Duration, io::Descriptor, std::function<void(SaveAnswer)>) override { asked_.emplace_back("save"); }
  void forget(const std::string&) override {}
  void on_conversation(std::function<void(const ConversationNote&)>) override {}

 private:
  io::Loop& loop_;
  std::vector<std::string>& asked_;
  std::optional<Bytes>& footprint_;
  std::string why_not_;
};

// A footprint is 1000 bytes and one byte for each token of the context, which has 4096 unless the spec says otherwise.
class FakeDriver final : public EngineDriver {
 public:
  explicit FakeDriver(io::Loop& loop) : loop_(loop) {}
  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    ModelMetadata metadata;
    metadata.trained_context = 4096;
    metadata.context = conversation_context(spec, 4096);
    metadata.predicted = Bytes(1000 + metadata.context);
    metadata.can_embed = embeds;
    ++inspections;
    done(metadata);
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    contexts.push_back(conversation_context(spec, 4096));
    auto agent = has_agent ? std::make_unique<FakeAgent>(loop_, asked, footprint) : nullptr;
    auto engine = std::make_unique<IdleEngine>(loop_, std::move(handlers), std::move(agent));
    engine->become_ready();
    return engine;
  }
  bool has_agent = true;
  bool embeds = false;
  std::optional<Bytes> footprint = Bytes(900);
  std::vector<std::string> asked;  // the questions to all agents, in order
  std::vector<unsigned> contexts;  // the context of each engine that was started
  int inspections = 0;

 private:
  io::Loop& loop_;
};

class MeasuringTest : public HostTest {
 protected:
  void SetUp() override {
    HostTest::SetUp();
    options_.cache_dir = (folder_ / "cache").string();
    start();
  }

  void start() {
    ContextOptions options;
    options.memory_budget = Bytes(budget_);
    start_host(driver_, ContextManager(options, make_lru_policy()), ModelHost::Options{});
  }

  // Runs the loop until everything that was posted has been carried out.
  void settle() {
    for (int i = 0; i < 20; ++i) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }
  Lease acquire(const char* model) {
    Lease lease;
    host_->acquire(model, TimePoint::max(), [&](Result<Lease> granted) { lease = std::move(*granted); });
    settle();
    EXPECT_TRUE(lease);
    return lease;
  }
  void use(const char* model) {
    acquire(model).release(LeaseEnd::kCompleted);
    settle();
  }
  Result<Done> load(const char* model) {
    std::optional<Result<Done>> answer;
    host_->load(model, false, false, TimePoint::max(), [&](Result<Done> done) { answer = std::move(done); });
    settle();
    return answer.value_or(fail(ErrorCode::kInternal, "not answered"));
  }
  Bytes held(const char* model) const { return host_->context().model(model, Clock::now())->memory; }
  long measurements() const { return std::count(driver_.asked.begin(), driver_.asked.end(), "measure"); }

  std::uint64_t budget_ = 1'000'000;
  FakeDriver driver_{loop_};
};

TEST_F(MeasuringTest, AfterTheLoadAndAfterTheFirstRequestTheRealFigureCounts) {
  ASSERT_TRUE(load("a"));
  EXPECT_EQ(held("a"), Bytes(900));
  EXPECT_FALSE(host_->metadata("a")->measured) << "what requests make is not there yet";
  driver_.footprint = Bytes(950);
  use("a");
  EXPECT_EQ(held("a"), Bytes(950));
  EXPECT_EQ(host_->metadata("a")->measured, Bytes(950));
  EXPECT_EQ(host_->metadata("a")->predicted, Bytes(5096));
}

TEST_F(MeasuringTest, ItIsNotAskedWhileItWorksNorOften) {
  Lease first = acquire("a");
  Lease second = acquire("a");
  EXPECT_EQ(measurements(), 0);
  first.release(LeaseEnd::kCompleted);
  settle();
  EXPECT_EQ(measurements(), 0);
  second.release(LeaseEnd::kCompleted);
  settle();
  EXPECT_EQ(measurements(), 1);
  for (int i = 0; i < 30; ++i) use("a");
  EXPECT_EQ(measurements(), 5) << "after 2, 4, 8, 16 and 32 requests";
}

TEST_F(MeasuringTest, WhatIsNotAnsweredIsNotServed) {
  ASSERT_TRUE(load("a"));
  acquire("a").release(LeaseEnd::kCancelled);
  settle();
  EXPECT_EQ(measurements(), 1);
  EXPECT_FALSE(host_->metadata("a")->measured);
}

TEST_F(MeasuringTest, TheNextLifeBeginsWithWhatWasMeasured) {
  use("a");
  host_->park("a", false, TimePoint::max(), [](const Result<Done>&) {});
  settle();
  EXPECT_EQ(held("a"), Bytes(7));
  start();
  driver_.inspections = 0;
  driver_.footprint.reset();
  ASSERT_TRUE(load("a"));
  EXPECT_EQ(driver_.inspections, 0);
  EXPECT_EQ(held("a"), Bytes(900));
  EXPECT_EQ(host_->metadata("a")->residue, Bytes(7));
}

TEST_F(MeasuringTest, HowLongItTakesToLoadAndToWakeIsKept) {
  ASSERT_TRUE(load("a"));
  EXPECT_TRUE(host_->metadata("a")->load_time);
  EXPECT_FALSE(host_->metadata("a")->wake_time);
  host_->park("a", false, TimePoint::max(), [](const Result<Done>&) {});
  settle();
  use("a");
  EXPECT_TRUE(host_->metadata("a")->wake_time);
}

TEST_F(MeasuringTest, AParkedEngineIsNotAskedAndAWokenOneHoldsWhatWasMeasured) {
  use("a");
  host_->park("a", false, TimePoint::max(), [](const Result<Done>&) {});
  settle();
  const auto before = measurements();
  use("a");
  EXPECT_EQ(measurements(), before + 1) << "its second request";
  EXPECT_EQ(held("a"), Bytes(900));
}

TEST_F(MeasuringTest, WithoutAnAgentOrAnAnswerThePredictionStays) {
  driver_.has_agent = false;
  use("a");
  EXPECT_EQ(held("a"), Bytes(5096));
  driver_.has_agent = true;
  driver_.footprint.reset();
  use("b");
  EXPECT_EQ(measurements(), 1);
  EXPECT_EQ(held("b"), Bytes(5096));
  EXPECT_FALSE(host_->metadata("b")->measured);
}

TEST_F(MeasuringTest, WhatEmbedsCountsAsPredictedUntilItHoldsMore) {
  driver_.embeds = true;
  use("a");
  EXPECT_EQ(held("a"), Bytes(5096)) << "a longer input may come";
  driver_.footprint = Bytes(6000);
  use("a");
  EXPECT_EQ(held("a"), Bytes(6000));
}

// ---- contexts that may shrink ----

TEST_F(MeasuringTest, OneThatIsTooLargeIsRefusedOrRunsWithFewerTokens) {
  budget_ = 4000;
  options_.entries = {{.id = "a", .fit = false}};
  start();
  const Result<Done> refused = load("a");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::kBudgetExceeded);
  EXPECT_TRUE(driver_.contexts.empty());

  options_.entries = {{.id = "a", .context_may_shrink = true}};
  start();
  driver_.footprint.reset();
  ASSERT_TRUE(load("a"));
  EXPECT_EQ(driver_.contexts, std::vector<unsigned>{2304});
  EXPECT_EQ(held("a"), Bytes(3304));
  EXPECT_EQ(host_->metadata("a")->context, 2304U);
  EXPECT_EQ(host_->as_run(*catalog_->find("a")).reduction.context, 2304U);
}

TEST_F(MeasuringTest, WithMoreMemoryTheNextLoadHasAllTokens) {
  options_.entries = {{.id = "a", .context_may_shrink = true}};
  budget_ = 4000;
  start();
  ASSERT_TRUE(load("a"));
  host_->unload("a", false, TimePoint::max(), [](const Result<Done>&) {});
  settle();
  ContextOptions more;
  more.memory_budget = Bytes(10'000);
  host_->set_limits(more, {});
  ASSERT_TRUE(load("a"));
  EXPECT_EQ(driver_.contexts, (std::vector<unsigned>{2304, 4096}));
  EXPECT_EQ(host_->metadata("a")->context, 4096U);
}

}  // namespace
}  // namespace minerva
