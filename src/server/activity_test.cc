#include "server/activity.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace minerva {
namespace {

class ActivityTest : public testing::Test {
 protected:
  // A request as if its connection had read it. The connection itself is not used.
  Exchange exchange(std::string id) {
    io::RequestHead head;
    head.method = "POST";
    head.target = "/v1/chat/completions?model=m";
    return Exchange{.connection = connection_,
                    .request = std::move(head),
                    .path = {},
                    .raw_query = {},
                    .query = {},
                    .request_id = std::move(id),
                    .arrived = Clock::now(),
                    .queued = QueuedBytes(queued_, Bytes(0)),
                    .model = "m",
                    .caller = {UserId{7}},
                    .caller_name = "anna"};
  }
  api::InFlightAnswer answer(const Activity::Entry& entry) {
    return entry.answer(Clock::now(), std::chrono::system_clock::now());
  }

  std::uint64_t queued_ = 0;
  io::HttpServerConnection connection_{nullptr, {}};
  Activity activity_;
};

TEST_F(ActivityTest, ARequestIsInFlightUntilItsEnd) {
  const Exchange x = exchange("req_1");
  {
    const Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
    ASSERT_EQ(activity_.find("req_1"), &entry);
    EXPECT_EQ(answer(entry).phase, "receiving");
    EXPECT_EQ(answer(entry).request.path, "/v1/chat/completions");
    EXPECT_TRUE(activity_.recent().empty());
  }
  EXPECT_EQ(activity_.find("req_1"), nullptr);
  ASSERT_EQ(activity_.recent().size(), 1U);
  EXPECT_EQ(activity_.recent()[0].user, UserId{7});
  EXPECT_EQ(activity_.recent()[0].answer.request.caller, "anna");
  EXPECT_EQ(activity_.recent()[0].answer.request.id, "req_1");
  EXPECT_FALSE(activity_.recent()[0].answer.first_byte);
}

TEST_F(ActivityTest, OnlySoManyThatEndedAreKeptTheLatestFirst) {
  for (std::size_t i = 0; i < Activity::kRecent + 3; ++i) {
    const Exchange x = exchange(fmt::format("req_{}", i));
    const Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
  }
  ASSERT_EQ(activity_.recent().size(), Activity::kRecent);
  EXPECT_EQ(activity_.recent().front().answer.request.id, "req_202");
  EXPECT_EQ(activity_.recent().back().answer.request.id, "req_3");
}

TEST_F(ActivityTest, WhatIsNotShownIsInNoList) {
  const Exchange x = exchange("req_1");
  {
    const Activity::Entry entry(activity_, x, /*shown=*/false, [] {});
  }
  EXPECT_TRUE(activity_.in_flight().empty());
  EXPECT_TRUE(activity_.recent().empty());
}

TEST_F(ActivityTest, TheFirstEventOfAStreamEndsTheReading) {
  const Exchange x = exchange("req_1");
  Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
  entry.set_stream(true);
  entry.granted();
  EXPECT_EQ(answer(entry).phase, "reading");
  entry.take(":\n\n");
  EXPECT_EQ(answer(entry).phase, "reading");
  EXPECT_FALSE(answer(entry).tokens.generated);
  entry.take("data: {}\n\n");
  entry.take("data: {}\n\ndata: {}\n\n");
  EXPECT_EQ(answer(entry).phase, "generating");
  EXPECT_EQ(answer(entry).tokens.generated, 3U);
}

TEST_F(ActivityTest, HowFarItHasReadIsAFractionAndASpeed) {
  const Exchange x = exchange("req_1");
  Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
  entry.set_stream(true);
  entry.granted();
  EXPECT_FALSE(answer(entry).fraction);
  entry.reading({.tokens = 150, .cached = 100, .total = 200, .seconds = 2});
  EXPECT_EQ(answer(entry).fraction, 0.75);
  EXPECT_EQ(answer(entry).tokens, (api::TokenCounts{200, 100, std::nullopt, 25}));
  entry.take("data: {}\n\n");
  EXPECT_FALSE(answer(entry).fraction);
  EXPECT_EQ(answer(entry).tokens.prompt, 200U);
}

TEST_F(ActivityTest, NamedEventsHaveALineMore) {
  const Exchange x = exchange("req_1");
  Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
  entry.set_stream(true);
  entry.granted();
  entry.take("event: a\ndata: {}\n\n");
  entry.take("event: a\ndata: {}\n\n");
  EXPECT_EQ(answer(entry).tokens.generated, 2U);
}

TEST_F(ActivityTest, TheEnginesOwnCountsAreTheLastWord) {
  const Exchange x = exchange("req_1");
  {
    Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
    entry.granted();
    EXPECT_EQ(answer(entry).phase, "generating") << "of an answer that is no stream the phases are not told apart";
    entry.answering();
    entry.take(R"({"usage":{"prompt_tokens":7,"completion_tokens":5}})");
  }
  EXPECT_EQ(activity_.recent()[0].answer.tokens.generated, 5U);
  EXPECT_EQ(activity_.recent()[0].answer.tokens.prompt, 7U);
  EXPECT_TRUE(activity_.recent()[0].answer.first_byte);
}

TEST_F(ActivityTest, TokensAreToldOnce) {
  const Exchange x = exchange("req_1");
  const auto second = std::chrono::seconds(1);
  {
    Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
    entry.set_stream(true);
    entry.granted();
    entry.take("data: {}\n\ndata: {}\n\n");
    EXPECT_EQ(activity_.take_generated(second), (std::map<ModelId, double>{{"m", 2}}));
    EXPECT_TRUE(activity_.take_generated(second).empty());
    entry.take("data: {\"timings\":{\"prompt_n\":1,\"predicted_n\":3,\"predicted_per_second\":50.0}}\n\n");
  }
  EXPECT_EQ(activity_.take_generated(second), (std::map<ModelId, double>{{"m", 1}}));
  EXPECT_TRUE(activity_.take_generated(second).empty());
}

TEST_F(ActivityTest, AnAnswerThatComesAsAWholeIsNoFasterThanItWas) {
  const Exchange x = exchange("req_1");
  {
    Activity::Entry entry(activity_, x, /*shown=*/true, [] {});
    entry.granted();
    entry.take(R"({"timings":{"prompt_n":1,"predicted_n":300,"predicted_per_second":10.0}})");
  }
  EXPECT_EQ(activity_.take_generated(std::chrono::seconds(5)), (std::map<ModelId, double>{{"m", 50}}));
}

}  // namespace
}  // namespace minerva
