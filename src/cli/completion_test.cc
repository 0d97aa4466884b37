#include "cli/completion.h"

#include <gtest/gtest.h>

namespace minerva::cli {
namespace {

struct Seen {
  std::string text;
  std::string reasoning;
  std::string comments;
  CompletionStream stream{{[this](std::string_view piece) { text += piece; },
                           [this](std::string_view piece) { reasoning += piece; },
                           [this](std::string_view comment) { comments += comment; }}};
};

std::string delta(const std::string& field, const std::string& text) {
  return R"(data: {"choices":[{"index":0,"delta":{")" + field + R"(":")" + text + "\"},\"finish_reason\":null}]}\n\n";
}

TEST(CompletionStream, GivesTextAsItComes) {
  Seen seen;
  EXPECT_TRUE(seen.stream.feed(": loading 10%\n\n" + delta("role", "assistant") + delta("reasoning_content", "hm")));
  EXPECT_EQ(seen.comments, "loading 10%");
  EXPECT_EQ(seen.reasoning, "hm");
  EXPECT_TRUE(seen.stream.feed(delta("content", "Hel")));
  EXPECT_EQ(seen.text, "Hel");
  EXPECT_FALSE(seen.stream.finish());
  EXPECT_TRUE(seen.stream.feed(delta("content", "lo\\u00e9") + "data: {\"choices\":[],\"usage\":{}}\n\n"));
  EXPECT_TRUE(
      seen.stream.feed("data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"length\"}]}\n\ndata: [DONE]\n\n"));
  EXPECT_TRUE(seen.stream.finish());
  EXPECT_EQ(seen.stream.text(), "Hello\xc3\xa9");
  EXPECT_EQ(seen.stream.finish_reason(), "length");
}

TEST(CompletionStream, SaysWhyAnAnswerIsNotWhole) {
  Seen cut;
  EXPECT_TRUE(cut.stream.feed(delta("content", "half")));
  ASSERT_FALSE(cut.stream.finish());
  EXPECT_EQ(cut.stream.finish().error().code, ErrorCode::kIo);
  EXPECT_EQ(cut.text, "half");

  Seen failed;
  EXPECT_FALSE(
      failed.stream.feed("data: {\"error\":{\"message\":\"it "
                         "died\",\"type\":\"api_error\",\"param\":null,\"code\":\"engine_crashed\"}}\n\n" +
                         delta("content", "late")));
  ASSERT_FALSE(failed.stream.finish());
  EXPECT_EQ(failed.stream.finish().error().code, ErrorCode::kEngineCrashed);
  EXPECT_EQ(failed.stream.finish().error().message, "it died");
  EXPECT_EQ(failed.text, "");

  Seen large;
  EXPECT_FALSE(large.stream.feed(std::string(SseParser::kMaxEvent + 1, 'x')));
  EXPECT_FALSE(large.stream.finish());
}

TEST(CompletionStream, PassesOverEventsItDoesNotKnow) {
  Seen seen;
  EXPECT_TRUE(
      seen.stream.feed("data: nonsense\n\ndata: []\n\ndata: {\"choices\":[7]}\n\ndata: {\"choices\":7}\n\n"
                       "data: {\"choices\":[{\"delta\":{\"content\":null}}]}\n\ndata: [DONE]\n\n"));
  EXPECT_TRUE(seen.stream.finish());
  EXPECT_EQ(seen.text, "");
}

}  // namespace
}  // namespace minerva::cli
