// A reader who was not there understands each decision: a day by script, as golden text.
#include <fmt/format.h>

#include "context/core_fixture.h"
#include "golden/golden.h"

namespace minerva {
namespace {

class DecisionsTest : public CoreTest {
 protected:
  std::string text() const {
    std::string all;
    for (const Decision& d : core_->decisions()) {
      all += fmt::format("{}. {} {}: {}", d.id, decision_kind_name(d.kind), d.model, d.reason);
      if (d.because_of != 0) all += fmt::format(" [because of {}]", d.because_of);
      if (d.refusal) all += fmt::format(" [{}, {} times]", error_info(*d.refusal).name, d.times);
      all += '\n';
      for (const DecisionCandidate& c : d.candidates) {
        if (!c.chosen) all += fmt::format("     {} stays ({})\n", c.model, c.standing);
      }
    }
    return all;
  }
  std::vector<DecisionKind> kinds() const {
    std::vector<DecisionKind> all;
    for (const Decision& d : core_->decisions()) all.push_back(d.kind);
    return all;
  }

  // Serves a request for `model`, for which others have to leave: `stopped` are stopped, `parks` are parked first.
  void serve(const ModelId& model, const std::vector<ModelId>& stopped, const std::vector<ModelId>& parks = {}) {
    now_ += std::chrono::seconds(40);
    const RequestId id = next_id();
    lease(id, model);
    if (residency(model) == Residency::kPreparing) inspected(model);
    for (const ModelId& other : parks) parked(other, 2);
    for (const ModelId& other : stopped) exited(other);
    now_ += std::chrono::milliseconds(700);
    if (residency(model) == Residency::kLoading) ready(model);
    if (residency(model) == Residency::kWaking) woken(model);
    ASSERT_EQ(residency(model), Residency::kHot) << model;
    release(id);
  }
};

TEST_F(DecisionsTest, TenEvictionsReadAsTheyHappened) {
  start(100);
  add("notes", 30);
  add("code", 40);
  add("large", 70);
  add("small", 10);
  add("vision", 45, /*pinned=*/false);
  serve("notes", {});
  serve("code", {});
  serve("small", {});
  serve("vision", {"notes"});           // 1
  serve("notes", {"code"});             // 2
  serve("large", {"small", "vision"});  // 3, 4
  serve("code", {"large"});             // 5
  serve("vision", {"notes"});           // 6
  serve("small", {});
  serve("large", {"code", "vision"});  // 7, 8
  serve("notes", {"small"});           // 9
  serve("code", {"large"});            // 10
  expect_golden("decisions_ten_evictions.txt", text());
}

TEST_F(DecisionsTest, ParkingWaitingAndRefusing) {
  ContextOptions options;
  options.memory_budget = Bytes::mib(100);
  options.max_queue_per_model = 1;
  start(options);
  engines_can_park();
  add("chat", 60);
  add("code", 60);
  add("huge", 200);
  add("pinned", 30, /*pinned=*/true);
  serve("chat", {});
  serve("code", {}, {"chat"});
  serve("chat", {}, {"code"});
  load(next_id(), "pinned", /*preload=*/true);
  inspected("pinned");
  ready("pinned");
  // It is busy: the next request waits, and the one after that is refused.
  now_ += std::chrono::seconds(5);
  const RequestId holds = heat_and_hold("chat");
  lease(kR1, "code");
  lease(kR2, "code");
  lease(kR3, "code");
  lease(kR4, "huge");
  inspected("huge");
  now_ += std::chrono::seconds(3);
  release(holds);
  parked("chat", 2);
  woken("code");
  now_ += std::chrono::seconds(1);
  unload(next_id(), "chat");
  exited("chat");
  expect_golden("decisions_parking.txt", text());
}

TEST_F(DecisionsTest, KeepsTheLatest) {
  ContextOptions options;
  options.max_models = 1;
  options.kept_decisions = 5;
  start(options);
  add("a", 1);
  add("b", 1);
  serve("a", {});
  for (int i = 0; i < 4; ++i) {
    serve("b", {"a"});
    serve("a", {"b"});
  }
  EXPECT_EQ(core_->decisions().size(), 5U);
  EXPECT_EQ(core_->decisions().back().id, core_->decisions().front().id + 4);
  EXPECT_EQ(core_->decisions().back().kind, DecisionKind::kLoad);
}

TEST_F(DecisionsTest, AnErrorForWantOfCapacityNamesItsDecision) {
  ContextOptions options;
  options.memory_budget = Bytes::mib(100);
  options.max_queue_per_model = 1;
  start(options);
  add("a", 200);
  lease(kR1, "a");
  const Reject full = only<Reject>(lease(kR2, "a"));
  EXPECT_EQ(full.error.code, ErrorCode::kQueueFull);
  EXPECT_EQ(full.error.decision, core_->decisions().back().id);
  const Reject too_large = only<Reject>(inspected("a"));
  EXPECT_EQ(too_large.error.code, ErrorCode::kBudgetExceeded);
  EXPECT_EQ(too_large.error.decision, core_->decisions().back().id);
  EXPECT_NE(full.error.decision, too_large.error.decision);
}

TEST_F(DecisionsTest, WhatNobodyWantsAnyMoreExplainsNothingLater) {
  ContextOptions options;
  options.max_models = 1;
  start(options);
  add("a", 1);
  add("b", 1);
  for (int round = 0; round < 2; ++round) {
    serve("a", {});
    now_ += std::chrono::seconds(40);
    lease(kR1, "b");
    inspected("b");
    ASSERT_EQ(kinds().back(), DecisionKind::kStop) << "a leaves for b";
    EXPECT_EQ(core_->decisions().back().because_of, core_->decisions().back().id - 1);
    EXPECT_EQ(core_->decisions()[core_->decisions().size() - 2].kind, DecisionKind::kMakeRoom);
    step(RequestCancelled{kR1});
    exited("a");
  }
  // There is room, so the decision names only the model's own wish.
  serve("b", {});
  EXPECT_EQ(core_->decisions().back().kind, DecisionKind::kLoad);
  EXPECT_EQ(core_->decisions().back().because_of, 0U);
}

TEST_F(DecisionsTest, AFloodOfRefusalsIsCounted) {
  ContextOptions options;
  options.max_queue_per_model = 1;
  start(options);
  add("a", 1);
  add("b", 1);
  lease(kR1, "a");
  lease(kR2, "b");
  for (int i = 0; i < 100; ++i) {
    lease(next_id(), "a");
    lease(next_id(), "b");
  }
  EXPECT_EQ(kinds(), (std::vector{DecisionKind::kRefuse, DecisionKind::kRefuse}));
  EXPECT_EQ(core_->decisions().front().times, 100U);
  inspected("a");
  lease(next_id(), "a");
  EXPECT_EQ(core_->decisions().back().times, 1U) << "something else happened in between";
}

}  // namespace
}  // namespace minerva
