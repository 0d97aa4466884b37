#include "router_api/status_feed.h"

#include <gtest/gtest.h>

#include "golden/golden.h"

namespace minerva::router_api {
namespace {

constexpr auto kPatience = std::chrono::seconds(30);

// A core, and a feed that follows it. Model `a` has a preset.
class StatusFeedTest : public testing::Test {
 protected:
  std::vector<Action> step(const Event& event) {
    now_ += std::chrono::seconds(1);
    std::vector<Action> actions = core_.step(now_, event);
    feed_.take(event, core_, now_);
    return actions;
  }
  EngineId load(const ModelId& model, std::uint64_t request, std::uint64_t mib) {
    return start(model, step(LeaseRequested{RequestId{request}, model, now_ + kPatience}), Bytes::mib(mib));
  }
  EngineId start(const ModelId& model, const std::vector<Action>& asked, Result<Bytes> footprint) {
    for (const Action& action : asked) {
      if (const auto* inspect = std::get_if<Inspect>(&action)) {
        return spawned(step(Inspected{model, inspect->ticket, footprint}));
      }
    }
    ADD_FAILURE() << "it is not inspected";
    return EngineId{};
  }
  static EngineId spawned(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      if (const auto* spawn = std::get_if<Spawn>(&action)) return spawn->engine;
    }
    return EngineId{};
  }
  // The events since the last call.
  std::string told() { return feed_.log().read(cursor_, SIZE_MAX); }

  TimePoint now_{};
  ContextManager core_{ContextOptions{.memory_budget = Bytes::mib(100)}, make_lru_policy()};
  StatusFeed feed_{[](const ModelId& model) {
    return model == "a" ? std::vector<ModelId>{"a", "a:fast"} : std::vector<ModelId>{model};
  }};
  std::uint64_t cursor_ = 0;
};

TEST_F(StatusFeedTest, ALoadItsEvictionAndItsReturn) {
  step(ModelAdded{.model = "a"});
  step(ModelAdded{.model = "b"});
  step(ModelAdded{.model = "a", .pinned = false});
  const EngineId a = load("a", 1, 60);
  for (const double fraction : {0.01, 0.21, 0.22, 0.2}) feed_.take_progress("a", fraction);
  step(EngineReady{a, /*can_park=*/true});
  feed_.take_progress("a", 1.0);
  step(LeaseReleased{RequestId{1}});
  load("b", 2, 50);
  step(EngineParked{a, Bytes::mib(10), Bytes::mib(20), Bytes::mib(30)});
  step(UnloadRequested{RequestId{3}, "a", false, now_ + kPatience});
  step(EngineExited{a, Error{ErrorCode::kCancelled, "stopped"}});
  step(ModelRemoved{"a"});
  step(ModelRemoved{"a"});
  expect_golden("router_events.txt", told());
}

TEST_F(StatusFeedTest, AFailedLoadHasAnExitCodeAndAnUnloadAfterwardsHasNone) {
  step(ModelAdded{.model = "b"});
  const EngineId first = load("b", 1, 10);
  step(EngineExited{first, Error{ErrorCode::kInvalidModel, "not a model"}});
  EXPECT_NE(told().find(R"("status":"unloaded","exit_code":1)"), std::string::npos);

  now_ += std::chrono::hours(1);  // the quarantine is over
  step(TimerFired{});
  const EngineId second = load("b", 2, 10);
  step(EngineReady{second});
  step(LeaseReleased{RequestId{2}, LeaseEnd::kCancelled});  // a cancelled request does not make up for the failure
  EXPECT_TRUE(core_.model("b", now_)->last_failure);
  told();
  step(UnloadRequested{RequestId{3}, "b", false, now_ + kPatience});
  EXPECT_EQ(told(), "") << "it stops";
  step(EngineExited{second, Error{ErrorCode::kCancelled, "stopped"}});
  EXPECT_EQ(told(), "data: {\"model\":\"b\",\"event\":\"model_status\",\"data\":{\"status\":\"unloaded\"}}\n\n");
}

TEST_F(StatusFeedTest, ACrashHasAnExitCodeOnce) {
  step(ModelAdded{.model = "b"});
  const EngineId engine = load("b", 1, 10);
  step(EngineReady{engine});
  step(LeaseReleased{RequestId{1}});
  told();
  step(EngineExited{engine, Error{ErrorCode::kEngineCrashed, "signal 11"}});
  const std::string text = told();
  EXPECT_EQ(
      text,
      "data: {\"model\":\"b\",\"event\":\"model_status\",\"data\":{\"status\":\"unloaded\",\"exit_code\":1}}\n\n");
  now_ += std::chrono::hours(1);
  step(TimerFired{});
  EXPECT_EQ(told(), "");
}

TEST_F(StatusFeedTest, WhatIsAskedForIsToldAgain) {
  step(ModelAdded{.model = "a"});
  told();
  feed_.tell("a", status_of(Residency::kCold, {}));
  feed_.tell("a", status_of(Residency::kCold, {}));
  const std::string text = told();
  const std::string once = "data: {\"model\":\"a\",\"event\":\"model_status\",\"data\":{\"status\":\"unloaded\"}}\n\n";
  EXPECT_EQ(text.substr(0, once.size()), once);
  EXPECT_NE(text.find(once, once.size()), std::string::npos);
}

TEST_F(StatusFeedTest, DownloadsAreToldInSteps) {
  DownloadNow download;
  download.id = "1";
  download.model = "o/r:Q8_0";
  feed_.take_download(download);
  feed_.take_download(download);
  EXPECT_EQ(told(), R"(data: {"model":"o/r:Q8_0","event":"model_status","data":{"status":"downloading"}})"
                    "\n\n");
  download.file = "x.gguf";
  download.size = 1000;
  for (const std::uint64_t done : {500U, 501U, 549U}) {
    download.done = done;
    feed_.take_download(download);
  }
  EXPECT_EQ(told(), R"(data: {"model":"o/r:Q8_0","event":"download_progress","data":{"progress":{"x.gguf":{"done":500,)"
                    R"("total":1000}}}})"
                    "\n\n");
  download.ended = true;
  feed_.take_download(download);
  EXPECT_EQ(told(), R"(data: {"model":"o/r:Q8_0","event":"download_failed","data":{}})"
                    "\n\n");
  download.succeeded = true;
  feed_.take_download(download);
  EXPECT_EQ(told(), R"(data: {"model":"o/r:Q8_0","event":"download_finished","data":{}})"
                    "\n\n");
}

TEST_F(StatusFeedTest, AReaderThatIsTooLateIsKnown) {
  step(ModelAdded{.model = "a"});
  EXPECT_FALSE(feed_.log().lost(0));
  for (std::size_t i = 0; i <= api::EventLog::kMostEvents; ++i) feed_.tell("a", status_of(Residency::kHot, {}));
  EXPECT_TRUE(feed_.log().lost(0));
  EXPECT_FALSE(feed_.log().lost(feed_.log().last_id()));
}

}  // namespace
}  // namespace minerva::router_api
