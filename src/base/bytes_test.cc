#include "minerva/base/bytes.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(ParseBytes, ReadsEveryForm) {
  const std::pair<std::string_view, std::uint64_t> cases[] = {
      {"0", 0},
      {"1536", 1536},
      {"512MiB", 512ULL << 20},
      {"512 MiB", 512ULL << 20},
      {"2GiB", 2ULL << 30},
      {"1.5G", 3ULL << 29},
      {"1.5GB", 1'500'000'000},
      {"300kB", 300'000},
      {"300k", 300 * 1024},
      {"1T", 1ULL << 40},
      {"1tib", 1ULL << 40},
      {"7B", 7},
      {"0.5", 1},
      {"18446744073709551615", UINT64_MAX},
  };
  for (const auto& [text, count] : cases) {
    const Result<Bytes> parsed = parse_bytes(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(parsed->count(), count) << text;
  }
}

TEST(ParseBytes, RefusesEverythingElse) {
  for (std::string_view text :
       {"", " ", "MiB", "-1", "+1", "1e9", "1..5G", ".5G", "5.G", "1 2", "12XB", "12MiBs", "nan", "0x10", "1 MiB ",
        "18446744073709551616", "99999999999T", "999999999999999999999999.9G"}) {
    const Result<Bytes> parsed = parse_bytes(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(parsed.error().message.find('"'), std::string::npos);
  }
}

TEST(FormatBytes, ReadsWell) {
  EXPECT_EQ(format_bytes(Bytes(0)), "0 B");
  EXPECT_EQ(format_bytes(Bytes(1023)), "1023 B");
  EXPECT_EQ(format_bytes(Bytes::mib(512)), "512 MiB");
  EXPECT_EQ(format_bytes(Bytes::mib(1536)), "1.5 GiB");
  EXPECT_EQ(format_bytes(Bytes((1ULL << 20) - 1)), "1 MiB");
  EXPECT_EQ(format_bytes(Bytes(UINT64_MAX)), "16777216 TiB");
}

TEST(Bytes, SaturatesInsteadOfWrapping) {
  EXPECT_EQ((Bytes(UINT64_MAX) + Bytes(1)).count(), UINT64_MAX);
  EXPECT_EQ((Bytes(1) - Bytes(2)).count(), 0U);
  EXPECT_EQ(Bytes::mib(3).rounded_mib(), 3U);
  EXPECT_EQ(Bytes((3ULL << 20) + (1ULL << 19)).rounded_mib(), 4U);
}

}  // namespace
}  // namespace minerva
