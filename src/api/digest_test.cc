#include "api/digest.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

TEST(Digest, IsSha256InHexDigits) {
  // Computed by sha256sum.
  EXPECT_EQ(hex(sha256("")), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(hex(sha256("secret")), "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
}

TEST(Digest, EachByteHasTwoDigits) {
  const std::array<unsigned char, 4> bytes = {0, 0x0f, 0xa0, 0xff};
  EXPECT_EQ(hex(bytes), "000fa0ff");
  EXPECT_EQ(hex({}), "");
}

}  // namespace
}  // namespace minerva::api
