#include "api/sse.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

TEST(Sse, FramesCommentsAndData) {
  EXPECT_EQ(sse_comment("loading 42%"), ": loading 42%\n\n");
  EXPECT_EQ(sse_comment("a\r\nb"), ": a  b\n\n");
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

}  // namespace
}  // namespace minerva::api
