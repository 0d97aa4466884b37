#include "api/event_feed.h"

#include <gtest/gtest.h>

#include "golden/golden.h"

namespace minerva::api {
namespace {

constexpr auto kStart = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'000));
constexpr auto kPatience = std::chrono::seconds(30);

// A core, and a feed that follows it; a second passes with each step.
class EventFeedTest : public testing::Test {
 protected:
  std::vector<Action> step(const Event& event) {
    since_ += std::chrono::seconds(1);
    std::vector<Action> actions = core_.step(now(), event);
    feed_.take(event, actions, core_, now(), wall());
    return actions;
  }
  TimePoint now() const { return TimePoint(since_); }
  EventFeed::WallTime wall() const { return kStart + since_; }

  // Answers the Inspect among the actions, and starts what comes of it. Returns the engine.
  EngineId load(const ModelId& model, const std::vector<Action>& asked, std::uint64_t mib) {
    for (const Action& action : asked) {
      if (const auto* inspect = std::get_if<Inspect>(&action)) return start({model, inspect->ticket, Bytes::mib(mib)});
    }
    ADD_FAILURE() << "it is not inspected";
    return EngineId{};
  }
  EngineId start(const Inspected& inspected) {
    for (const Action& action : step(inspected)) {
      if (const auto* spawn = std::get_if<Spawn>(&action)) return spawn->engine;
    }
    return EngineId{};
  }

  std::string told() {
    std::uint64_t cursor = 0;
    return feed_.log().read(cursor, SIZE_MAX);
  }

  std::chrono::seconds since_{0};
  ContextManager core_{ContextOptions{.memory_budget = Bytes::mib(100)}, make_lru_policy()};
  EventFeed feed_{0};
};

TEST_F(EventFeedTest, TellsWhatHappens) {
  step(ModelAdded{.model = "a"});
  step(ModelAdded{.model = "b"});
  const EngineId a = load("a", step(LeaseRequested{RequestId{1}, "a", now() + kPatience}), 60);
  for (const double fraction : {0.01, 0.21, 0.22, 0.2, 1.0}) feed_.take_progress("a", fraction, wall());
  step(EngineReady{a, /*can_park=*/true});
  step(LeaseReleased{RequestId{1}});
  step(FootprintMeasured{a, Bytes::mib(90)});
  const EngineId none = load("b", step(LeaseRequested{RequestId{2}, "b", now() + kPatience}), 50);
  EXPECT_EQ(none, EngineId{}) << "it waits for a";
  step(EngineParked{a, Bytes::mib(10), Bytes::mib(20), Bytes::mib(30)});
  const EngineId b{2};
  feed_.take_progress("b", 0.5, wall());
  step(EngineExited{b, Error{ErrorCode::kInvalidModel, "not a model"}});
  step(PressureChanged{true, Bytes::mib(5)});
  step(PressureChanged{true, Bytes::mib(4)});
  step(PressureChanged{false, Bytes()});
  step(ModelAdded{.model = "a", .outdated = true});
  feed_.take_config({"model.\"b\""}, {"policy"}, wall());
  step(ModelRemoved{"b"});
  step(ModelRemoved{"b"});
  step(DrainRequested{now() + kPatience});
  step(EngineExited{a, Error{ErrorCode::kCancelled, "stopped"}});
  expect_golden("events.txt", told());
}

TEST_F(EventFeedTest, TellsOfADownloadsChangesAndItsProgressInSteps) {
  feed_.take_download("d", R"({"state":"queued"})", std::nullopt, wall());
  for (const double progress : {0.01, 0.06, 0.07, 0.5, 0.2}) {
    feed_.take_download("d", R"({"state":"running"})", progress, wall());
  }
  feed_.take_download("d", R"({"state":"done"})", std::nullopt, wall());
  std::string events = told();
  std::size_t count = 0;
  for (std::size_t at = events.find("event: download"); at != std::string::npos;
       at = events.find("event: download", at + 1)) {
    ++count;
  }
  EXPECT_EQ(count, 4U) << events;
  EXPECT_NE(events.find(R"("download":{"state":"done"}})"), std::string::npos) << events;
}

TEST_F(EventFeedTest, WhatChangesNothingIsNotTold) {
  step(ModelAdded{.model = "a"});
  step(EngineReady{load("a", step(LeaseRequested{RequestId{1}, "a", now() + kPatience}), 60)});
  const std::uint64_t before = feed_.log().last_id();
  for (std::uint64_t i = 2; i < 100; ++i) {
    step(LeaseRequested{RequestId{i}, "a", now() + kPatience});
    step(LeaseReleased{RequestId{i}});
    step(TimerFired{});
  }
  EXPECT_EQ(feed_.log().last_id(), before);
}

}  // namespace
}  // namespace minerva::api
