#include "engine/llama_agent.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace minerva {
namespace {

constexpr std::string_view kHello = R"({"protocol":2,"can_park":true})";
// Answers without ids.
constexpr std::string_view kParked =
    R"("parked":true,"written_bytes":1,"image_bytes":2,"residue_bytes":3,"cached_bytes":4)";
constexpr std::string_view kDropped = R"("parked":true,"image_bytes":2,"residue_bytes":3,"dropped_bytes":5)";
constexpr std::string_view kWoken =
    R"("parked":false,"written_bytes":0,"image_bytes":2,"cached_bytes":6,"missing_bytes":8)";
constexpr std::string_view kWorking =
    R"("parked":false,"refused":"it is working","busy":true,"written_bytes":0,"image_bytes":2)";
constexpr std::string_view kTooLarge =
    R"("parked":false,"refused":"x","image_wanted_bytes":4096,"written_bytes":0,"image_bytes":0)";
constexpr std::string_view kMeasured = R"("measured":{"footprint_bytes":7})";

class LlamaAgentTest : public testing::Test {
 protected:
  using ParkResult = tl::expected<protocol::ParkReport, EngineAgent::ParkRefusal>;

  void park(Bytes most = Bytes::gib(1)) {
    agent_.park(most, [this](ParkResult result) {
      happened_.push_back(result ? "parked" : "refused: " + result.error().reason.message);
      park_ = std::move(result);
    });
  }
  void wake() {
    agent_.wake([this](Result<protocol::ParkReport> woken) {
      happened_.push_back(woken ? "woken" : "not woken: " + woken.error().message);
      woken_ = woken.value_or(protocol::ParkReport{});
    });
  }
  void measure() {
    agent_.measure([this](const std::optional<Measurement>& measured) {
      happened_.push_back(measured ? "measured " + std::to_string(measured->host.count()) : "not measured");
    });
  }
  void save() {
    agent_.save(std::chrono::milliseconds(3), io::Descriptor(::dup(0)), [this](const SaveAnswer& answer) {
      happened_.push_back(answer.saved             ? "saved " + to_text(answer.saved->name)
                          : answer.refused.empty() ? "saved nothing"
                                                   : "not saved: " + answer.refused);
      if (answer.more) happened_.emplace_back("more");
      if (!answer.why_not.empty()) happened_.push_back("never: " + answer.why_not);
    });
  }
  void answer(int id, std::string_view members) { agent_.take_line(fmt::format("{{\"id\":{},{}}}", id, members)); }
  std::vector<std::string> noted() const { return log_->tail(100); }

  using Events = std::vector<std::string>;

  io::Loop loop_;
  std::string sent_;
  std::shared_ptr<EngineLog> log_ = std::make_shared<EngineLog>();
  LlamaAgent agent_{loop_,
                    [this](std::string_view text, const io::Descriptor& file) {
                      sent_ += text;
                      if (file) ++files_sent_;
                    },
                    log_, Bytes(9)};
  int files_sent_ = 0;
  Events happened_;
  std::optional<ParkResult> park_;
  protocol::ParkReport woken_;
};

TEST_F(LlamaAgentTest, SaysWhatIsWantedAndTellsWhatCame) {
  EXPECT_NE(agent_.why_not_parkable(), "") << "it has not said so yet";
  agent_.take_line(kHello);
  EXPECT_EQ(agent_.why_not_parkable(), "");
  park(Bytes(12345));
  EXPECT_EQ(sent_, "park 1 12345\n");
  EXPECT_EQ(happened_, Events{});
  answer(1, kParked);
  ASSERT_TRUE(park_ && park_->has_value());
  EXPECT_EQ((*park_)->written_bytes, 1U);
  EXPECT_EQ((*park_)->image_bytes, 2U);
  EXPECT_EQ((*park_)->residue_bytes, 3U);
  EXPECT_EQ((*park_)->cached_bytes, 4U);
  agent_.drop_pages(Bytes(11),
                    [this](Bytes dropped) { happened_.push_back("dropped " + std::to_string(dropped.count())); });
  wake();
  answer(2, kDropped);
  EXPECT_EQ(happened_, (Events{"parked", "dropped 5"}));
  answer(3, kWoken);
  EXPECT_EQ(woken_.cached_bytes, 6U);
  EXPECT_EQ(woken_.missing_bytes, 8U);
  measure();
  answer(4, kMeasured);
  EXPECT_EQ(happened_, (Events{"parked", "dropped 5", "woken", "measured 7"}));
  EXPECT_EQ(sent_, "park 1 12345\ndrop 2 11\nwake 3\nmeasure 4 9\n");
  EXPECT_EQ(noted(), Events{});
}

TEST_F(LlamaAgentTest, ARefusalSaysWhyAndHowLargeTheImageWouldHaveBeen) {
  agent_.take_line(kHello);
  park();
  answer(1, kWorking);
  ASSERT_TRUE(park_ && !park_->has_value());
  EXPECT_EQ(park_->error().reason.code, ErrorCode::kConflict);
  EXPECT_EQ(park_->error().reason.message, "it is working");
  EXPECT_EQ(park_->error().image_wanted, Bytes(0));
  park(Bytes(1024));
  answer(2, kTooLarge);
  EXPECT_EQ(park_->error().reason.code, ErrorCode::kNoCapacity);
  EXPECT_NE(park_->error().reason.message.find(format_bytes(Bytes(4096))), std::string::npos);
  EXPECT_NE(park_->error().reason.message.find(format_bytes(Bytes(1024))), std::string::npos);
  EXPECT_EQ(park_->error().image_wanted, Bytes(4096));
}

TEST_F(LlamaAgentTest, ARefusedWakeSaysWhyAndMayBeAskedForAgain) {
  agent_.take_line(kHello);
  wake();
  answer(1, R"("parked":true,"refused":"no room","residue_bytes":3)");
  wake();
  answer(2, kWoken);
  EXPECT_EQ(happened_, (Events{"not woken: no room", "woken"}));
  park();
  answer(3, R"("parked":true,"refused":"both","residue_bytes":3)");
  wake();
  answer(4, R"("parked":false,"refused":"both")");
  EXPECT_EQ(noted().size(), 2U) << "neither makes sense";
}

TEST_F(LlamaAgentTest, WhyItCannotBeParked) {
  agent_.take_line(R"({"protocol":2,"can_park":false,"why_not":"in memory"})");
  EXPECT_EQ(agent_.why_not_parkable(), "in memory");
  measure();
  answer(1, kMeasured);
  EXPECT_EQ(happened_, Events{"measured 7"}) << "that it can";
  agent_.take_line(kHello);
  EXPECT_EQ(agent_.why_not_parkable(), "in memory") << "it is asked for once";
  EXPECT_EQ(noted().size(), 1U);
}

TEST_F(LlamaAgentTest, OneThatSpeaksOtherwiseIsNotAsked) {
  for (const bool hello : {false, true}) {
    if (hello) agent_.take_line(R"({"protocol":3,"can_park":true})");
    EXPECT_NE(agent_.why_not_parkable(), "");
    measure();
    EXPECT_EQ(happened_, Events{}) << "never from inside the call";
    loop_.post([this] { loop_.stop(); });
    loop_.run();
    EXPECT_EQ(happened_, Events{"not measured"});
    EXPECT_EQ(sent_, "");
    happened_.clear();
  }
}

TEST_F(LlamaAgentTest, WhatMakesNoSenseIsNotedAndPassedOver) {
  agent_.take_line(kHello);
  for (const std::string_view line : {"", "nonsense", R"({"fly":3})", R"({"id":1,"parked":"yes"})"})
    agent_.take_line(line);
  for (const std::string_view members : {kParked, kWoken, kMeasured}) answer(1, members);
  EXPECT_EQ(noted().size(), 7U) << "nothing was asked for";
  park();
  agent_.take_line("nonsense");
  answer(1, R"("parked":true)");
  answer(1, kMeasured);
  answer(0, kParked);
  answer(2, kParked);
  EXPECT_EQ(happened_, Events{}) << "none of these is its answer";
  answer(1, kParked);
  EXPECT_EQ(happened_, Events{"parked"});
  answer(1, kParked);
  EXPECT_EQ(happened_, Events{"parked"}) << "once";
  EXPECT_EQ(noted().size(), 13U);
  agent_.take_line(std::string(60'000, 'x'));
  EXPECT_LE(noted().back().size(), 2000U);
}

TEST_F(LlamaAgentTest, AnAnswerThatDoesNotFitIsNotTakenForAnother) {
  agent_.take_line(kHello);
  park();
  answer(1, kWoken);  // neither parked nor refused
  wake();
  answer(2, kParked);
  EXPECT_EQ(happened_, Events{});
  EXPECT_EQ(noted().size(), 2U);
  park();
  answer(3, kParked);
  EXPECT_EQ(happened_, Events{"parked"}) << "those after it are told apart";
}

// A late answer to a lost request is not taken for the answer to the next request of the same kind.
TEST_F(LlamaAgentTest, ALateAnswerIsNobodys) {
  agent_.take_line(kHello);
  park();
  measure();
  answer(2, kMeasured);
  park();
  answer(1, kWorking);
  EXPECT_EQ(happened_, Events{"measured 7"});
  answer(3, kParked);
  EXPECT_EQ(happened_, (Events{"measured 7", "parked"}));
  EXPECT_EQ(noted().size(), 1U);
}

TEST_F(LlamaAgentTest, WhoeverWaitsForAMeasurementThatIsLostIsTold) {
  agent_.take_line(kHello);
  measure();
  park();
  answer(2, kParked);
  EXPECT_EQ(happened_, (Events{"not measured", "parked"}));
  answer(1, kMeasured);
  EXPECT_EQ(happened_, (Events{"not measured", "parked"})) << "once";
  wake();
  answer(3, kWoken);
  EXPECT_EQ(happened_, (Events{"not measured", "parked", "woken"}));
}

TEST_F(LlamaAgentTest, AParkThatIsLostIsNeverAnswered) {
  agent_.take_line(kHello);
  park();
  measure();
  answer(2, kMeasured);
  answer(1, kParked);
  EXPECT_EQ(happened_, Events{"measured 7"});
}

const std::string kSegment = std::string(31, '0') + "1-" + std::string(32, '0') + "-0-5";

TEST_F(LlamaAgentTest, SavesIntoTheFileThatItPassesOn) {
  agent_.take_line(kHello);
  save();
  EXPECT_EQ(sent_, "save 1 3\n");
  EXPECT_EQ(files_sent_, 1);
  answer(1, R"("saved":{"tenant":"0","name":")" + kSegment + R"(","bytes":7},"more":true)");
  EXPECT_EQ(happened_, (Events{"saved " + kSegment, "more"}));
  happened_.clear();
  save();
  answer(2, R"("saved":{},"more":false)");
  save();
  answer(3, R"("refused":"full","why_not":"recurrent")");
  EXPECT_EQ(happened_, (Events{"saved nothing", "not saved: full", "never: recurrent"}));
  EXPECT_EQ(noted(), Events{});
}

TEST_F(LlamaAgentTest, ASaveIsAnsweredInAnyCase) {
  save();
  EXPECT_EQ(happened_, Events{});
  loop_.post([this] { loop_.stop(); });
  loop_.run();
  EXPECT_EQ(happened_, (Events{"saved nothing", "never: the engine does not speak the protocol"}));
  EXPECT_EQ(sent_, "");
  happened_.clear();
  agent_.take_line(kHello);
  save();
  park();
  answer(1, kParked);
  answer(1, R"("saved":{"tenant":"../..","name":")" + kSegment + R"("},"more":false)");
  answer(1, R"("saved":{"tenant":"0","name":"../x"},"more":false)");
  EXPECT_EQ(noted().size(), 3U) << "none of these is its answer";
  answer(2, kParked);
  EXPECT_EQ(happened_, (Events{"saved nothing", "parked"})) << "it was lost";
}

TEST_F(LlamaAgentTest, SaysWhoseConversationsAreForgotten) {
  agent_.forget("0");
  EXPECT_EQ(sent_, "") << "nobody would understand";
  agent_.take_line(kHello);
  agent_.forget(protocol::kEverybody);
  EXPECT_EQ(sent_, "forget all\n");
}

TEST_F(LlamaAgentTest, TellsOfConversationsByItself) {
  std::vector<ConversationNote> notes;
  const std::string which = R"("tenant":"ab","name":")" + kSegment + R"(")";
  agent_.take_line(R"({"restored":{)" + which + R"(,"tokens":1}})");
  agent_.on_conversation([&](const ConversationNote& note) { notes.push_back(note); });
  agent_.take_line(R"({"restored":{)" + which +
                   R"(,"tokens":5,"bytes":9,"microseconds":7,"instead_of_microseconds":8}})");
  agent_.take_line(R"({"unusable":{)" + which + R"(,"why":"cut"}})");
  ASSERT_EQ(notes.size(), 3U);
  EXPECT_EQ(notes[0].restored_tokens, 1U) << "said while nobody listened";
  notes.erase(notes.begin());
  EXPECT_EQ(notes[0].restored_tokens, 5U);
  EXPECT_EQ(notes[0].took, std::chrono::microseconds(7));
  EXPECT_EQ(notes[0].instead_of, std::chrono::microseconds(8));
  EXPECT_EQ(notes[0].tenant, "ab");
  EXPECT_EQ(notes[0].unusable, "");
  EXPECT_EQ(notes[1].unusable, "cut");
  EXPECT_EQ(to_text(notes[1].name), kSegment);
  EXPECT_EQ(noted(), Events{});
  for (const std::string& line : {std::string(R"({"restored":7})"), std::string(R"({"unusable":{"tenant":"0"}})"),
                                  R"({"restored":{)" + which + R"(,"tokens":-1}})"}) {
    agent_.take_line(line);
  }
  EXPECT_EQ(notes.size(), 2U);
  EXPECT_EQ(noted().size(), 3U);
}

TEST_F(LlamaAgentTest, MoreMayBeAskedForInsideAnAnswer) {
  agent_.take_line(kHello);
  agent_.park(Bytes(1), [this](const ParkResult&) { wake(); });
  answer(1, kParked);
  EXPECT_EQ(sent_, "park 1 1\nwake 2\n");
  answer(2, kWoken);
  EXPECT_EQ(happened_, Events{"woken"});
}

TEST_F(LlamaAgentTest, ItForgetsItsCalls) {
  auto agent = std::make_unique<LlamaAgent>(loop_, [](std::string_view, const io::Descriptor&) {}, log_, Bytes());
  agent->measure([](const std::optional<Measurement>&) { FAIL() << "called back"; });
  agent.reset();
  loop_.post([this] { loop_.stop(); });
  loop_.run();
}

}  // namespace
}  // namespace minerva
