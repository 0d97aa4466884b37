// ModelHost beside other programs on a device: what they take is not for models, and what they return is again. The
// test plays the device, its driver and the engines there.
#include "host/host_fixture.h"

namespace minerva {
namespace {

// 3200 MiB, of which 100 MiB are the margin.
struct FakeDevice {
  Bytes others;
  Bytes driver_share;                    // of each engine, beyond its own account
  std::map<const void*, Bytes> taken{};  // by engines, with the driver's share

  Bytes free() const {
    Bytes free = Bytes::mib(3200) - others;
    for (const auto& [engine, bytes] : taken) free -= bytes;
    return free;
  }
  DeviceMemories say() const { return {{"D", {Bytes::mib(3200), free()}}}; }
};

class AgentOnDevice final : public EngineAgent {
 public:
  AgentOnDevice(io::Loop& loop, FakeDevice& device, Bytes on_device)
      : loop_(loop), device_(device), on_device_(on_device) {
    take();
  }
  ~AgentOnDevice() override { device_.taken.erase(this); }
  const std::string& why_not_parkable() const override { return why_not_; }
  void park(Bytes, std::function<void(tl::expected<protocol::ParkReport, ParkRefusal>)> done) override {
    device_.taken[this] = on_device_ > Bytes() ? device_.driver_share : Bytes();
    protocol::ParkReport report;
    report.parked = true;
    report.residue_bytes = 1;
    loop_.post([done, report] { done(report); });
  }
  void drop_pages(Bytes, std::function<void(Bytes)>) override {}
  void wake(std::function<void(Result<protocol::ParkReport>)> done) override {
    const bool has_room = on_device_ <= device_.free();
    if (has_room) take();
    loop_.post([done, has_room] {
      if (has_room) return done(protocol::ParkReport{});
      done(fail(ErrorCode::kNoCapacity, "the device D has no room"));
    });
  }
  void measure(std::function<void(std::optional<Measurement>)> done) override {
    Measurement measured{Bytes(1), {}};
    if (on_device_ > Bytes()) measured.devices["D"] = on_device_;
    loop_.post([done, measured] { done(measured); });
  }
  void look_at_devices(std::function<void(const DeviceMemories&)> done) override {
    loop_.post([done, said = device_.say()] { done(said); });
  }
  void save(Duration, io::Descriptor, std::function<void(SaveAnswer)>) override {}
  void forget(const std::string&) override {}
  void on_conversation(std::function<void(const ConversationNote&)>) override {}

 private:
  void take() {
    if (on_device_ > Bytes()) device_.taken[this] = on_device_ + device_.driver_share;
  }

  io::Loop& loop_;
  FakeDevice& device_;
  const Bytes on_device_;
  std::string why_not_;
};

// A model takes 1000 MiB of the device where it is placed there, and 1000 bytes of the host otherwise.
class SharedDeviceDriver final : public EngineDriver {
 public:
  SharedDeviceDriver(io::Loop& loop, FakeDevice& device) : loop_(loop), device_(device) {}
  std::vector<std::string> devices() const override { return {"D"}; }
  void look_at_devices(std::function<void(const DeviceMemories&)> done) override {
    ++looks;
    loop_.post([done, said = answers ? device_.say() : DeviceMemories()] { done(said); });
  }
  void inspect(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) override {
    ModelMetadata metadata;
    metadata.layers = 1;
    metadata.predicted = Bytes(on_device(spec) ? 1 : 1000);
    if (on_device(spec)) metadata.predicted_on_devices["D"] = Bytes::mib(1000);
    done(metadata);
  }
  Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    starts.push_back(on_device(spec) ? spec.id + " on D" : spec.id + " on the host");
    const Bytes takes = on_device(spec) ? Bytes::mib(1000) : Bytes();
    auto engine = std::make_unique<IdleEngine>(loop_, std::move(handlers),
                                               std::make_unique<AgentOnDevice>(loop_, device_, takes));
    engine->become_ready();
    return engine;
  }

  bool answers = true;
  int looks = 0;
  std::vector<std::string> starts;

 private:
  static bool on_device(const ModelSpec& spec) { return !spec.placement.devices.empty(); }

  io::Loop& loop_;
  FakeDevice& device_;
};

using Places = std::vector<std::string>;

class DeviceWatchTest : public HostTest {
 protected:
  void SetUp() override {
    HostTest::SetUp();
    ContextOptions options;
    options.memory_budget = Bytes(1'000'000);
    options.devices = {{"D", Bytes::mib(2500)}};
    start_host(driver_, ContextManager(options, make_lru_policy()), ModelHost::Options{});
    host_->on_change([this] {
      if (until_ && until_()) loop_.stop();
    });
  }
  void TearDown() override {
    host_->on_change(nullptr);
    HostTest::TearDown();
  }

  // Runs the loop until the host's next change after which `what` holds.
  void run_until(const char* what, const std::function<bool()>& holds) {
    io::Timer bound(loop_);
    bound.arm(Clock::now() + std::chrono::seconds(60), [&] {
      ADD_FAILURE() << "not within a minute: " << what;
      loop_.stop();
    });
    until_ = holds;
    if (!holds()) loop_.run();
    until_ = nullptr;
  }
  Result<Lease> acquire(const ModelId& model) {
    std::optional<Result<Lease>> lease;
    host_->acquire(model, Clock::now() + std::chrono::seconds(50), [&](Result<Lease> granted) {
      lease = std::move(granted);
      loop_.stop();
    });
    run_until("a request is answered", [&] { return lease.has_value(); });
    return lease ? std::move(*lease) : fail(ErrorCode::kInternal, "not answered");
  }
  void use(const ModelId& model) {
    Result<Lease> lease = acquire(model);
    ASSERT_TRUE(lease) << lease.error().message;
    lease->release(LeaseEnd::kCompleted);
  }
  Residency residency(const ModelId& model) const { return host_->context().residency(model, Clock::now()); }
  PoolView pool() const { return host_->context().pools().at(1); }

  FakeDevice device_;
  SharedDeviceDriver driver_{loop_, device_};
  std::function<bool()> until_;
};

TEST_F(DeviceWatchTest, AnIdleModelLeavesForAnotherProgramAndComesBackWhenThatEnds) {
  use("a");
  use("b");
  EXPECT_EQ(driver_.starts, (Places{"a on D", "b on D"}));
  EXPECT_EQ(pool().available, Bytes::mib(2500)) << "its budget";
  device_.others = Bytes::mib(1180);
  run_until("a is parked", [&] { return residency("a") == Residency::kParked; });
  EXPECT_EQ(pool().available.rounded_mib() / 16, 1920U / 16);
  EXPECT_EQ(residency("b"), Residency::kHot) << "one is enough";
  device_.others = Bytes();
  run_until("all of the budget is for models", [&] { return pool().available == Bytes::mib(2500); });
  use("a");
  EXPECT_EQ(driver_.starts.size(), 2U) << "it was woken";
  EXPECT_EQ(residency("b"), Residency::kHot);
}

TEST_F(DeviceWatchTest, AChildSaysWhatIsFreeWhereNoEngineCan) {
  device_.others = Bytes::mib(2500);
  use("a");
  EXPECT_EQ(driver_.starts, Places{"a on the host"});
  EXPECT_EQ(driver_.looks, 1);
  device_.others = Bytes();
  driver_.answers = false;
  host_->unload("a", false, TimePoint::max(), [](const Result<Done>&) {});
  run_until("a is gone", [&] { return residency("a") == Residency::kCold; });
  use("a");
  EXPECT_EQ(driver_.starts.back(), "a on D") << "nobody says that there is no room";
  EXPECT_EQ(driver_.looks, 2);
}

TEST_F(DeviceWatchTest, AModelThatCannotWakeForWantOfRoomIsServedElsewhere) {
  use("a");
  host_->park("a", false, TimePoint::max(), [](const Result<Done>&) {});
  run_until("a is parked", [&] { return residency("a") == Residency::kParked; });
  device_.others = Bytes::mib(3000);
  use("a");
  EXPECT_EQ(driver_.starts, (Places{"a on D", "a on the host"}));
}

TEST_F(DeviceWatchTest, AnIdleModelMakesWayForOneThatCannotWake) {
  use("a");
  host_->park("a", false, TimePoint::max(), [](const Result<Done>&) {});
  run_until("a is parked", [&] { return residency("a") == Residency::kParked; });
  use("b");
  device_.others = Bytes::mib(1210);  // at once, so that nobody has been told when a is asked for
  use("a");
  EXPECT_EQ(residency("b"), Residency::kParked);
  EXPECT_EQ(driver_.starts, (Places{"a on D", "b on D"}));
}

TEST_F(DeviceWatchTest, WhatTheDriverTakesForEachEngineIsLearned) {
  device_.driver_share = Bytes::mib(200);
  use("a");
  EXPECT_EQ(pool().reserved, Bytes::mib(1000)) << "nobody has seen the device before its load";
  run_until("an engine says what is free", [&] { return host_->free_on_device("D").has_value(); });
  host_->load("b", false, false, TimePoint::max(), [](const Result<Done>&) {});
  run_until("the share is known", [&] { return pool().reserved == Bytes::mib(2200); });
  host_->park("b", false, TimePoint::max(), [](const Result<Done>&) {});
  run_until("b is parked", [&] { return residency("b") == Residency::kParked; });
  EXPECT_EQ(host_->context().model("b", Clock::now())->by_pool.of(1), Bytes::mib(200)) << "the driver keeps it";
}

}  // namespace
}  // namespace minerva
