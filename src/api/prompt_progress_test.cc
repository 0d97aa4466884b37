#include "api/prompt_progress.h"

#include <gtest/gtest.h>

#include <string>

namespace minerva::api {
namespace {

const std::string kRole =
    R"(data: {"choices":[{"finish_reason":null,"index":0,"delta":{"role":"assistant","content":null}}],"id":"x")";

std::string progress(unsigned processed) {
  return R"(,"prompt_progress":{"total":500,"cache":100,"processed":)" + std::to_string(processed) +
         R"(,"time_ms":1500})";
}

std::string chat_progress(unsigned processed) { return kRole + progress(processed) + "}\n\n"; }

// What the client gets if the stream comes in pieces of `step` bytes.
std::string filtered(PromptProgress& filter, const std::string& stream, std::size_t step) {
  std::string out;
  for (std::size_t at = 0; at < stream.size(); at += step) {
    const std::string_view piece = std::string_view(stream).substr(at, step);
    out += filter.done() ? std::string(piece) : filter.take(piece);
  }
  return out;
}

constexpr std::size_t kSteps[] = {1, 3, 64, 100000};

TEST(PromptProgress, AChatIsWhatItIsWithout) {
  const std::string chat = kRole + "}\n\n" + R"(data: {"choices":[{"delta":{"content":"a"}}]})" + "\n\n" +
                           R"(data: {"choices":[{"delta":{"content":",\"prompt_progress\":{}"}}]})" + "\n\n" +
                           "data: [DONE]\n\n";
  for (const std::size_t step : kSteps) {
    PromptProgress filter;
    EXPECT_EQ(filtered(filter, chat_progress(100) + chat_progress(300) + chat_progress(500) + chat, step), chat);
    EXPECT_TRUE(filter.done());
    EXPECT_EQ(filter.so_far(), (ReadSoFar{500, 100, 500, 1.5}));
  }
}

TEST(PromptProgress, ItIsKnownWhileItIsRead) {
  PromptProgress filter;
  EXPECT_EQ(filter.take(chat_progress(155)), "");
  EXPECT_FALSE(filter.done());
  ASSERT_TRUE(filter.so_far());
  EXPECT_DOUBLE_EQ(filter.so_far()->fraction(), 0.31);
  EXPECT_EQ(reading_text(*filter.so_far()), "reading 31% of 500 tokens");
}

TEST(PromptProgress, AResponseBeginsOnce) {
  const std::string created = "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{}}\n\n";
  const std::string begins = "event: response.in_progress\ndata: {\"type\":\"response.in_progress\",\"response\":{}";
  const std::string text = "event: response.output_text.delta\ndata: {\"delta\":\"a\"}\n\n";
  for (const std::size_t step : kSteps) {
    PromptProgress filter;
    const std::string stream = created + begins + progress(100) + "}\n\n" + begins + progress(500) + "}\n\n" + text;
    EXPECT_EQ(filtered(filter, stream, step), created + begins + "}\n\n" + text) << step;
  }
}

TEST(PromptProgress, CommentsAreLetThrough) {
  for (const std::size_t step : kSteps) {
    PromptProgress filter;
    EXPECT_EQ(filtered(filter, ":\n\n" + chat_progress(100) + ": x\n" + chat_progress(500), step), ":\n\n: x\n");
    EXPECT_FALSE(filter.done());
  }
}

TEST(PromptProgress, NothingIsLostOfAStreamThatBreaksOff) {
  PromptProgress filter;
  EXPECT_EQ(filter.take(chat_progress(100) + "data: {\"a"), "");
  EXPECT_EQ(filter.finish(), "data: {\"a");
  EXPECT_TRUE(filter.done());
}

TEST(PromptProgress, WhatElseComesIsLetThroughFromThereOn) {
  for (const std::string& stream :
       {std::string("data: {\"error\":{}}\n\n"), "data: " + std::string(PromptProgress::kMaxEvent, 'x'),
        std::string("data: {\"a\":1,\"prompt_progress\":7}\n\n"),
        std::string("data: {\"a\":1,\"prompt_progress\":{}}\n\n")}) {
    PromptProgress filter;
    EXPECT_EQ(filtered(filter, stream + chat_progress(1), 100), stream + chat_progress(1));
    EXPECT_TRUE(filter.done());
  }
}

std::string asked(std::string body, std::string_view path = "/v1/chat/completions") {
  RoutingScan scan(/*note_members=*/true);
  scan.feed(body);
  EXPECT_EQ(ask_for_progress(path, body, *scan.members()), body.find("return_progress\":true,") != std::string::npos);
  return body;
}

TEST(AskForProgress, TheBodyAsksAndIsOtherwiseAsItCame) {
  EXPECT_EQ(asked(R"( { "messages": [], "stream": true})"),
            R"( { "return_progress":true,"messages": [], "stream": true})");
  EXPECT_EQ(asked(R"({"n":1 ,"messages":[]})"), R"({"return_progress":true,"n":1 ,"messages":[]})");
  EXPECT_EQ(asked(R"({"prompt":"a"})", "/completion"), R"({"return_progress":true,"prompt":"a"})");
}

TEST(AskForProgress, NothingIsChangedWhereItCouldNotBeTakenOut) {
  for (const char* const body : {"{}", R"({"return_progress":false})", R"({"return\u005fprogress":true })",
                                 R"({"prompt":["a","b"]})", R"({"n":2})", R"({"n_cmpl":2})"}) {
    EXPECT_EQ(asked(body), body);
  }
  EXPECT_EQ(asked(R"({"messages":[]})", "/v1/messages"), R"({"messages":[]})");
  EXPECT_EQ(asked(R"({"input":"a"})", "/v1/embeddings"), R"({"input":"a"})");
}

}  // namespace
}  // namespace minerva::api
