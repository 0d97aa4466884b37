#include "cli/sse_parser.h"

#include <gtest/gtest.h>

#include <vector>

namespace minerva::cli {
namespace {

struct Parsed {
  std::vector<std::string> data;
  std::vector<std::string> comments;
  SseParser parser{{[this](std::string_view text) { data.emplace_back(text); },
                    [this](std::string_view text) { comments.emplace_back(text); }}};
};

constexpr std::string_view kStream =
    ": loading 42%\n\ndata: {\"a\":1}\n\n:bare\r\ndata:no space\r\ndata:  two\r\n\r\nevent: x\rid: 7\rdata\r\r"
    "retry: 5\n\nno colon\n\ndata: [DONE]\n\ndata: never ended\n";

TEST(SseParser, ReadsTheSameAtEverySplit) {
  const std::vector<std::string> data = {"{\"a\":1}", "no space\n two", "", "[DONE]"};
  const std::vector<std::string> comments = {"loading 42%", "bare"};
  for (std::size_t split = 0; split <= kStream.size(); ++split) {
    Parsed seen;
    EXPECT_TRUE(seen.parser.feed(kStream.substr(0, split)));
    EXPECT_TRUE(seen.parser.feed(kStream.substr(split)));
    EXPECT_EQ(seen.data, data) << split;
    EXPECT_EQ(seen.comments, comments) << split;
  }
  Parsed bytes;
  for (const char c : kStream) bytes.parser.feed(std::string_view(&c, 1));
  EXPECT_EQ(bytes.data, data);
}

TEST(SseParser, IsBounded) {
  Parsed line;
  EXPECT_TRUE(line.parser.feed("data: " + std::string(SseParser::kMaxEvent - 6, 'x')));
  EXPECT_FALSE(line.parser.feed("x"));
  EXPECT_FALSE(line.parser.feed("\n\n"));
  EXPECT_TRUE(line.data.empty());

  Parsed event;
  const std::string half = "data: " + std::string(SseParser::kMaxEvent / 2, 'x') + "\n";
  EXPECT_TRUE(event.parser.feed(half));
  EXPECT_FALSE(event.parser.feed(half + half));
}

}  // namespace
}  // namespace minerva::cli
