// Timetable with a real core, engines that do nothing, and a wall clock of the test's own.
#include "host/timetable.h"

#include "host/host_fixture.h"

namespace minerva {
namespace {

using namespace std::chrono_literals;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

class CountingDriver final : public OneByteDriver {
 public:
  explicit CountingDriver(io::Loop& loop) : loop_(loop) {}
  Result<std::unique_ptr<Engine>> start(const ModelSpec& spec, const ModelMetadata&, std::shared_ptr<EngineLog>,
                                        Engine::Handlers handlers) override {
    starts.push_back(spec.id);
    auto engine = std::make_unique<IdleEngine>(loop_, std::move(handlers));
    engine->become_ready();
    if (started) started();
    return engine;
  }
  std::vector<ModelId> starts;
  std::function<void()> started;

 private:
  io::Loop& loop_;
};

class TimetableTest : public HostTest {
 protected:
  // A Monday in winter.
  static constexpr sys_seconds kMonday = sys_days(2026y / 1 / 12);

  void SetUp() override {
    HostTest::SetUp();
    start_host(driver_, ContextManager(std::size_t{1}), {1ms, 0ms});
    set_clock(kMonday);
    timetable_.emplace(loop_, *host_, [this] { return now_; });
  }
  void TearDown() override {
    timetable_.reset();
    HostTest::TearDown();
  }

  void set_clock(Timetable::WallTime now) { now_ = now; }
  // Moves the clock, has the timetable look at it, and waits for what follows.
  void look_at(Timetable::WallTime now) {
    set_clock(now);
    timetable_->look();
    settle();
  }
  // Runs the loop until everything that was posted has been carried out.
  void settle() {
    for (int round = 0; round < 10; ++round) {
      loop_.post([this] { loop_.stop(); });
      loop_.run();
    }
  }

  struct Plan {
    const char* model;
    const char* preload;
    const char* unload;
  };
  void set(const std::vector<Plan>& plans, const TimeZone& zone = {}) {
    specs_.clear();
    std::vector<const ModelSpec*> list;
    for (const Plan& plan : plans) {
      auto spec = std::make_unique<ModelSpec>();
      spec->id = plan.model;
      if (plan.preload != nullptr) spec->preload_at = CronSchedule::parse(plan.preload).value();
      if (plan.unload != nullptr) spec->unload_at = CronSchedule::parse(plan.unload).value();
      list.push_back(spec.get());
      specs_.push_back(std::move(spec));
    }
    timetable_->set(zone, 1min, list);
    settle();
  }
  Residency state(const char* model) { return host_->context().residency(model, Clock::now()); }
  std::size_t starts() const { return driver_.starts.size(); }
  Lease acquire(const char* model) {
    Lease lease;
    host_->acquire(model, TimePoint::max(), [&](Result<Lease> granted) { lease = std::move(*granted); });
    settle();
    EXPECT_TRUE(static_cast<bool>(lease));
    return lease;
  }

  CountingDriver driver_{loop_};
  Timetable::WallTime now_;
  std::vector<std::unique_ptr<ModelSpec>> specs_;
  std::optional<Timetable> timetable_;
};

TEST_F(TimetableTest, LoadsAndUnloadsAtItsTimes) {
  set({{"a", "0 8 * * mon-fri", "0 20 * * *"}});
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 8h);
  EXPECT_EQ(timetable_->next("a").unload, kMonday + 20h);
  EXPECT_FALSE(timetable_->next("b").preload.has_value());
  look_at(kMonday + 8h - 1ms);
  EXPECT_EQ(state("a"), Residency::kCold);
  look_at(kMonday + 8h);
  EXPECT_EQ(state("a"), Residency::kHot);
  EXPECT_TRUE(host_->context().model("a", Clock::now())->preloaded) << "it is not counted as used";
  EXPECT_EQ(host_->context().cache_stats().preloads, 1U);
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 32h);
  look_at(kMonday + 20h);
  EXPECT_EQ(state("a"), Residency::kCold);
  look_at(kMonday + 20h + 1s);
  EXPECT_EQ(starts(), 1U);
}

TEST_F(TimetableTest, GoesByItsTimeZone) {
  set({{"a", "0 8 * * *", nullptr}}, TimeZone::find("Europe/Berlin").value());
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 7h);
  set({{"a", "0 8 * * *", nullptr}}, TimeZone::find("America/New_York").value());
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 13h);
}

TEST_F(TimetableTest, APreloadTakesThePlaceOfAnIdleModelAndOfNoOther) {
  Lease lease = acquire("b");
  set({{"a", "0 8,9,10 * * *", nullptr}});
  look_at(kMonday + 8h);
  EXPECT_EQ(state("a"), Residency::kCold) << "b is in use";
  EXPECT_EQ(state("b"), Residency::kHot);
  lease.release(LeaseEnd::kCompleted);
  host_->pin("b", true, [](const Result<Done>&) {});
  look_at(kMonday + 9h);
  EXPECT_EQ(state("b"), Residency::kHot) << "it is pinned";
  host_->pin("b", false, [](const Result<Done>&) {});
  look_at(kMonday + 10h);
  EXPECT_EQ(state("a"), Residency::kHot);
  EXPECT_EQ(state("b"), Residency::kCold);
}

TEST_F(TimetableTest, AnUnloadLeavesAloneWhatIsInUseOrPinned) {
  Lease lease = acquire("a");
  set({{"a", nullptr, "0 8,9,10 * * *"}});
  look_at(kMonday + 8h);
  EXPECT_EQ(state("a"), Residency::kHot) << "it is in use";
  EXPECT_EQ(acquire("a").engine(), lease.engine()) << "and others may use it meanwhile";
  lease.release(LeaseEnd::kCompleted);
  EXPECT_EQ(state("a"), Residency::kHot) << "nothing is left waiting for the end of its leases";
  host_->pin("a", true, [](const Result<Done>&) {});
  look_at(kMonday + 9h);
  EXPECT_EQ(state("a"), Residency::kHot) << "it is pinned";
  host_->pin("a", false, [](const Result<Done>&) {});
  look_at(kMonday + 10h);
  EXPECT_EQ(state("a"), Residency::kCold);
}

TEST_F(TimetableTest, AnUnloadLeavesALoadUnderWayAlone) {
  set({{"a", nullptr, "0 8 * * *"}});
  std::optional<Result<Done>> loaded;
  host_->load("a", false, false, TimePoint::max(), [&](const Result<Done>& done) { loaded = done; });
  ASSERT_NE(state("a"), Residency::kHot);
  look_at(kMonday + 8h);
  ASSERT_TRUE(loaded.has_value() && loaded->has_value());
  EXPECT_EQ(state("a"), Residency::kHot);
}

TEST_F(TimetableTest, WhatLeavesIsUnloadedBeforeOthersCome) {
  acquire("a").release(LeaseEnd::kCompleted);
  set({{"a", "0 8 * * *", "0 8 * * *"}});
  look_at(kMonday + 8h);
  EXPECT_EQ(state("a"), Residency::kHot);
  EXPECT_EQ(starts(), 2U);
}

TEST_F(TimetableTest, WhatWasSleptThroughIsDoneWithinFiveMinutes) {
  set({{"a", "0 8 * * *", nullptr}});
  look_at(kMonday + 8h + 5min);
  EXPECT_EQ(starts(), 0U) << "too late";
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 32h);
  look_at(kMonday + 32h + 5min - 1s);
  EXPECT_EQ(driver_.starts, std::vector<ModelId>{"a"});
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 56h);
}

TEST_F(TimetableTest, WhatWasDueOftenMeanwhileIsDoneOnce) {
  set({{"a", "* * * * *", "30 * * * *"}});
  look_at(kMonday + 100 * 24h + 10s);
  EXPECT_EQ(starts(), 1U);
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 100 * 24h + 1min);
  EXPECT_EQ(timetable_->next("a").unload, kMonday + 100 * 24h + 30min);
}

TEST_F(TimetableTest, AClockSetBackALittleBringsNothingAgain) {
  set({{"a", "0 8 * * *", nullptr}});
  look_at(kMonday + 8h + 10s);
  ASSERT_EQ(starts(), 1U);
  look_at(kMonday + 8h - 2min);
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 32h);
  // A reload does not bring it back either.
  set({{"a", "0 8-9 * * *", nullptr}});
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 9h);
}

TEST_F(TimetableTest, AClockSetRightIsFollowed) {
  set({{"a", "0 8 * * *", nullptr}});
  look_at(kMonday + 8h);
  look_at(kMonday + 3000 * 24h);
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 3000 * 24h + 8h);
  look_at(kMonday + 9h);
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 32h);
  EXPECT_EQ(starts(), 1U);
}

TEST_F(TimetableTest, AReloadKeepsWhatStaysAndBringsNothingTwice) {
  set({{"a", "0 8 * * *", nullptr}});
  set_clock(kMonday + 8h);
  // Both are due, and not done yet.
  set({{"a", "0 8 * * *", nullptr}, {"b", "30 8 * * *", nullptr}});
  EXPECT_EQ(driver_.starts, std::vector<ModelId>{"a"});
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 32h);
  // It is written in another way, so it counts from now on.
  set({{"a", "0 8 * * mon-fri", nullptr}});
  EXPECT_EQ(timetable_->next("a").preload, kMonday + 32h);
  EXPECT_FALSE(timetable_->next("b").preload.has_value());
  look_at(kMonday + 8h + 30min);
  EXPECT_EQ(starts(), 1U);
  set({});
  look_at(kMonday + 32h);
  EXPECT_EQ(starts(), 1U);
}

TEST_F(TimetableTest, AModelThatIsGoneIsNoHarm) {
  set({{"x", "0 8 * * *", "0 8 * * *"}});
  look_at(kMonday + 8h);
  EXPECT_EQ(starts(), 0U);
}

TEST_F(TimetableTest, ItsTimerLooks) {
  // From here on the wall clock goes with the steady one.
  const auto begun = Clock::now();
  timetable_.emplace(loop_, *host_, [begun] {
    return Timetable::WallTime(kMonday + 8h - 20ms) +
           std::chrono::duration_cast<std::chrono::system_clock::duration>(Clock::now() - begun);
  });
  driver_.started = [this] { loop_.stop(); };
  const auto schedule = CronSchedule::parse("0 8 * * *");
  ModelSpec spec;
  spec.id = "a";
  spec.preload_at = *schedule;
  timetable_->set({}, 1min, {&spec});
  io::Timer bound(loop_);
  bound.arm(Clock::now() + 60s, [this] { loop_.stop(); });
  loop_.run();
  EXPECT_EQ(starts(), 1U);
}

TEST_F(TimetableTest, NothingIsDoneOnceItIsStopped) {
  set({{"a", "0 8 * * *", nullptr}});
  timetable_->stop();
  look_at(kMonday + 8h);
  set({{"a", "0 8 * * *", nullptr}});
  look_at(kMonday + 32h);
  EXPECT_EQ(starts(), 0U);
}

}  // namespace
}  // namespace minerva
