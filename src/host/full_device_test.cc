// A model whose device has no room when it wakes gets another engine.
#include "host/host_fixture.h"

namespace minerva {
namespace {

// An engine that parks, and refuses to wake while its device is full.
class RefusingAgent final : public EngineAgent {
 public:
  RefusingAgent(io::Loop& loop, const bool& full) : loop_(loop), full_(full) {}
  const std::string& why_not_parkable() const override { return why_not_; }
  void park(Bytes, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done) override {
    loop_.post([done] {
      protocol::ParkReport report;
      report.parked = true;
      report.residue_bytes = 1;
      done(report);
    });
  }
  void drop_pages(Bytes, std::function<void(Bytes)>) override {}
  void wake(std::function<void(Result<protocol::ParkReport>)> done) override {
    loop_.post([done, full = full_] {
      if (full) return done(fail(ErrorCode::kNoCapacity, "the device D has no room"));
      done(protocol::ParkReport{});
    });
  }
  void measure(std::function<void(std::optional<Measurement>)> done) override {
    loop_.post([done] { done(std::nullopt); });
  }
  void save(Duration, io::Descriptor, std::function<void(SaveAnswer)>) override {}
  void forget(const std::string&) override {}
  void on_conversation(std::function<void(const ConversationNote&)>) override {}

 private:
  io::Loop& loop_;
  const bool& full_;
  std::string why_not_;
};

// A model takes 100 bytes of where it is placed.
class DeviceDriver final : public EngineDriver {
 public:
  explicit DeviceDriver(io::Loop& loop) : loop_(loop) {}
  std::vector<std::string> devices() const override { return {"D"}; }
  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    ModelMetadata metadata;
    metadata.layers = 1;
    metadata.predicted = Bytes(spec.placement.devices.empty() ? 101 : 1);
    for (const std::string& device : spec.placement.devices) metadata.predicted_on_devices[device] = Bytes(100);
    done(metadata);
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    placements.push_back(spec.placement);
    auto engine =
        std::make_unique<IdleEngine>(loop_, std::move(handlers), std::make_unique<RefusingAgent>(loop_, full));
    engine->become_ready();
    return engine;
  }

  bool full = false;
  std::vector<Placement> placements;  // of each engine that was started

 private:
  io::Loop& loop_;
};

class FullDeviceTest : public HostTest {
 protected:
  void SetUp() override {
    HostTest::SetUp();
    ContextOptions options;
    options.memory_budget = Bytes(1000);
    options.devices = {{"D", Bytes(100)}};
    start_host(driver_, ContextManager(options, make_lru_policy()), ModelHost::Options{});
  }
  void settle() {
    for (int i = 0; i < 20; ++i) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }
  void use() {
    Result<Lease> lease = fail(ErrorCode::kInternal, "not answered");
    host_->acquire("a", TimePoint::max(), [&](Result<Lease> granted) { lease = std::move(granted); });
    settle();
    ASSERT_TRUE(lease) << lease.error().message;
    lease->release(LeaseEnd::kCompleted);
    settle();
  }
  void park() {
    host_->park("a", false, TimePoint::max(), [](const Result<Done>&) {});
    settle();
  }
  Bytes on_device() const { return host_->context().pools().at(1).reserved; }

  DeviceDriver driver_{loop_};
};

TEST_F(FullDeviceTest, ARequestForAModelThatIsNotWokenIsServedAllTheSame) {
  use();
  EXPECT_EQ(driver_.placements, std::vector<Placement>{{{"D"}}});
  EXPECT_EQ(on_device(), Bytes(100));
  park();
  EXPECT_EQ(on_device(), Bytes(0));
  use();
  EXPECT_EQ(driver_.placements.size(), 1U) << "it was woken";
  park();
  driver_.full = true;
  use();
  EXPECT_EQ(driver_.placements.size(), 2U);
}

}  // namespace
}  // namespace minerva
