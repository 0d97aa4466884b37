// Slots: an engine gets as many requests at once as it has slots, and callers take turns for them.
#include <algorithm>

#include "context/core_fixture.h"

namespace minerva {
namespace {

using std::chrono::seconds;

class Slots : public CoreTest {
 protected:
  void add_slotted(const ModelId& id, unsigned slots, std::uint64_t mib = 50) {
    footprint_[id] = Bytes::mib(mib);
    step(ModelAdded{.model = id, .slots = slots});
  }
  std::vector<Action> ask(RequestId id, const ModelId& model, UserId caller = kAnn, unsigned slots = 1,
                          Duration patience = kPatience) {
    return step(LeaseRequested{id, model, now_ + patience, {caller}, /*looking=*/false, slots});
  }
  // Starts with one model, a, which is hot and idle, and whose requests take a second.
  void start_slow(unsigned slots) {
    start(100);
    add_slotted("a", slots);
    heat_for("a", seconds(1));
  }
  // Makes the model hot and idle. Its request took `service`, and the next is expected to take as long.
  void heat_for(const ModelId& model, Duration service) {
    const RequestId id = heat_and_hold(model);
    now_ += service;
    release(id);
  }
  static RequestId granted(const std::vector<Action>& actions) { return only<Grant>(actions).request; }
};

TEST_F(Slots, OneThatIsNotFreeIsWaitedFor) {
  start_slow(2);
  only<Grant>(ask(kR1, "a"));
  only<Grant>(ask(kR2, "a"));
  EXPECT_TRUE(nothing(ask(kR3, "a")));
  EXPECT_EQ(view("a").slots, 2U);
  EXPECT_EQ(view("a").slots_taken, 2U);
  EXPECT_EQ(view("a").waiting, 1U);
  now_ += seconds(1);
  EXPECT_EQ(granted(release(kR1)), kR3);
  EXPECT_EQ(view("a").slots_taken, 2U);
}

TEST_F(Slots, AnyNumberWhereTheModelSaysNothing) {
  start(100);
  add("a", 50);
  heat_for("a", seconds(1));
  for (std::uint64_t i = 1; i <= 50; ++i) only<Grant>(ask(RequestId{i}, "a"));
}

TEST_F(Slots, QuickRequestsFillTheEnginesOwnLine) {
  start(100);
  add_slotted("a", 2);
  heat_for("a", std::chrono::milliseconds(10));
  for (std::uint64_t i = 1; i <= 4; ++i) only<Grant>(ask(RequestId{i}, "a"));
  EXPECT_TRUE(nothing(ask(RequestId{5}, "a")));
}

TEST_F(Slots, AVisitTakesNone) {
  start_slow(1);
  only<Grant>(ask(kR1, "a"));
  EXPECT_TRUE(nothing(ask(kR2, "a")));
  only<Grant>(ask(kR3, "a", kAnn, /*slots=*/0));
  EXPECT_EQ(view("a").slots_taken, 1U);
  EXPECT_EQ(view("a").leases, 2U);
  EXPECT_TRUE(nothing(release(kR3))) << "a visit that ended frees no slot";
}

TEST_F(Slots, AVisitOfAColdModelLoadsIt) {
  start(100);
  add_slotted("a", 1);
  only<Inspect>(ask(kR1, "a", kAnn, /*slots=*/0));
  inspected("a");
  EXPECT_EQ(granted(ready("a")), kR1);
}

TEST_F(Slots, SeveralAreTakenAtOnce) {
  start_slow(3);
  only<Grant>(ask(kR1, "a"));
  only<Grant>(ask(kR2, "a"));
  EXPECT_TRUE(nothing(ask(kR3, "a", kAnn, 3)));
  EXPECT_TRUE(nothing(ask(kR4, "a", kBen))) << "the free one is kept for who is next";
  EXPECT_TRUE(nothing(release(kR1)));
  EXPECT_EQ(granted(release(kR2)), kR3);
  EXPECT_EQ(view("a").slots_taken, 3U);
  EXPECT_EQ(granted(release(kR3)), kR4);
}

TEST_F(Slots, WhoCollectsThemAndLeavesLetsOthersGoOn) {
  start_slow(2);
  only<Grant>(ask(kR1, "a"));
  EXPECT_TRUE(nothing(ask(kR2, "a", kAnn, 2)));
  EXPECT_TRUE(nothing(ask(kR3, "a", kBen)));
  EXPECT_EQ(granted(step(RequestCancelled{kR2})), kR3);
}

TEST_F(Slots, MoreThanThereAreAreRefusedBeforeAnythingIsLoaded) {
  start(100);
  add_slotted("a", 2);
  const Error error = only<Reject>(ask(kR1, "a", kAnn, 3)).error;
  EXPECT_EQ(error.code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(error.param, "n");
  EXPECT_EQ(residency("a"), Residency::kCold);
  EXPECT_EQ(core_->cache_stats().misses, 0U);
}

TEST_F(Slots, WhoWaitsForMoreThanTheNewSettingsGiveIsRefused) {
  start(100);
  add_slotted("a", 2);
  ask(kR1, "a", kAnn, 2);
  inspected("a");
  step(ModelAdded{.model = "a", .slots = 1});
  EXPECT_EQ(only<Reject>(ready("a")).error.code, ErrorCode::kInvalidArgument);
}

TEST_F(Slots, CallersTakeTurns) {
  start_slow(1);
  only<Grant>(ask(RequestId{10}, "a", kAnn));
  for (std::uint64_t i = 11; i <= 30; ++i) ask(RequestId{i}, "a", kAnn);
  ask(kR1, "a", kBen);
  ask(kR2, "a", kBen);
  now_ += seconds(1);
  EXPECT_EQ(granted(release(RequestId{10})), kR1) << "not the twenty of Ann that came before";
  now_ += seconds(1);
  EXPECT_EQ(granted(release(kR1)), RequestId{11});
  now_ += seconds(1);
  EXPECT_EQ(granted(release(RequestId{11})), kR2);
}

TEST_F(Slots, ALongRequestCountsAsLong) {
  start_slow(1);
  only<Grant>(ask(RequestId{10}, "a", kAnn));
  for (std::uint64_t i = 11; i <= 13; ++i) ask(RequestId{i}, "a", kAnn);
  for (std::uint64_t i = 1; i <= 3; ++i) ask(RequestId{i}, "a", kBen);
  now_ += seconds(3);
  EXPECT_EQ(granted(release(RequestId{10})), kR1);
  now_ += seconds(1);
  EXPECT_EQ(granted(release(kR1)), kR2) << "Ann's one took as long as two of Ben's";
}

TEST_F(Slots, TheLineOfABusyModelDoesNotHoldBackAnotherModel) {
  ContextOptions options;
  options.max_models = 1;
  options.min_residency = seconds(2);
  start(options);
  add_slotted("a", 2);
  add_slotted("b", 2);
  heat_for("a", seconds(1));
  for (std::uint64_t i = 10; i < 70; ++i) ask(RequestId{i}, "a", kAnn);
  EXPECT_EQ(view("a").slots_taken, 2U);
  now_ += seconds(2);
  only<Inspect>(ask(kR1, "b", kBen));
  EXPECT_TRUE(nothing(inspected("b"))) << "what runs may end";
  EXPECT_TRUE(nothing(release(RequestId{10}))) << "nobody of the 58 gets its slot";
  EXPECT_EQ(only<Stop>(release(RequestId{11})).model, "a");
  const auto spawned = all<Spawn>(exited("a"));
  ASSERT_EQ(spawned.size(), 1U);
  EXPECT_EQ(spawned[0].model, "b");
  EXPECT_EQ(granted(ready("b")), kR1);
  EXPECT_EQ(view("a").waiting, 58U);
}

TEST_F(Slots, TheReasonOfAWaitNamesThem) {
  start_slow(1);
  only<Grant>(ask(kR1, "a"));
  ask(kR2, "a", kAnn, 1, seconds(5));
  const Error error = only<Reject>(wait(seconds(5))).error;
  EXPECT_EQ(error.code, ErrorCode::kNoCapacity);
  EXPECT_NE(error.message.find("for a slot of \"a\", which answers 1 request at once"), std::string::npos)
      << error.message;
}

TEST_F(Slots, ThoseOfADeadEngineAreFree) {
  start_slow(1);
  only<Grant>(ask(kR1, "a"));
  exited("a");
  EXPECT_EQ(view("a").slots_taken, 0U);
  lost(kR1);
  inspected("a");
  EXPECT_EQ(granted(ready("a")), kR1);
  EXPECT_EQ(view("a").slots_taken, 1U);
}

TEST_F(Slots, AnUnloadWaitsForTheLineThatWasThereBefore) {
  start_slow(1);
  only<Grant>(ask(kR1, "a"));
  EXPECT_TRUE(nothing(ask(kR2, "a")));
  EXPECT_TRUE(nothing(unload(kR3, "a")));
  EXPECT_TRUE(nothing(ask(kR4, "a")));
  EXPECT_EQ(granted(release(kR1)), kR2);
  EXPECT_EQ(only<Stop>(release(kR2)).model, "a");
}

}  // namespace
}  // namespace minerva
