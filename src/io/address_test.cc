#include <gtest/gtest.h>

#include "io/stream.h"

namespace minerva::io {
namespace {

TEST(Address, ReadsWhatItPrints) {
  for (const char* text : {"127.0.0.1:3000", "[::1]:80", "localhost:0", "unix:/tmp/x.sock"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_EQ(address->text(), text);
    EXPECT_TRUE(address->is_loopback()) << text;
  }
}

TEST(Address, KnowsWhatIsNotLoopback) {
  for (const char* text : {"0.0.0.0:1", "[::]:1", "10.0.0.1:1", "128.0.0.1:1"}) {
    const auto address = parse_address(text);
    ASSERT_TRUE(address.has_value()) << text;
    EXPECT_FALSE(address->is_loopback()) << text;
  }
}

TEST(Address, RefusesWithTheReason) {
  const std::string long_path = "unix:/" + std::string(200, 'x');
  for (const char* text : {"", "3000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:1x", "::1:80",
                           "example.org:80", "unix:", long_path.c_str()}) {
    const auto address = parse_address(text);
    ASSERT_FALSE(address.has_value()) << text;
    EXPECT_EQ(address.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(address.error().message.find("expected"), std::string::npos);
  }
}

}  // namespace
}  // namespace minerva::io
