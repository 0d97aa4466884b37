#include "api/sse.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

TEST(Sse, FramesCommentsAndData) {
  EXPECT_EQ(sse_comment("loading 42%"), ": loading 42%\n");
  EXPECT_EQ(sse_comment("a\r\nb"), ": a  b\n");
  EXPECT_EQ(sse_data("{\"x\":1}"), "data: {\"x\":1}\n\n");
  EXPECT_EQ(sse_data("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n");
  EXPECT_EQ(sse_data(""), "data: \n\n");
}

TEST(Sse, ErrorsAreOneEvent) {
  const std::string text = sse_error({ErrorCode::kEngineCrashed, "It died:\nout of memory", "", 0});
  EXPECT_TRUE(text.starts_with("data: {\"error\":{")) << text;
  EXPECT_TRUE(text.ends_with("}}\n\n")) << text;
  EXPECT_EQ(text.find('\n'), text.size() - 2);
}

TEST(Sse, BlankLinesBehindAnothersCommentsGo) {
  SseComments comments;
  EXPECT_EQ(comments.without_blank_lines(":\n\n"), ":\n");
  EXPECT_EQ(comments.without_blank_lines("data: 1\n\n"), std::nullopt);
  EXPECT_EQ(comments.without_blank_lines(": a\n\n: b\n\ndata: 2\n\n"), ": a\n: b\ndata: 2\n\n");
  EXPECT_EQ(comments.without_blank_lines(": a\ndata: 3\n"), ": a\ndata: 3\n");
  // A piece that is inside an event, or that does not end, stays unchanged.
  EXPECT_EQ(comments.without_blank_lines(": a\n\n"), std::nullopt);
  EXPECT_EQ(comments.without_blank_lines(":"), ":");
  EXPECT_EQ(comments.without_blank_lines("\n\n"), std::nullopt);
}

}  // namespace
}  // namespace minerva::api
