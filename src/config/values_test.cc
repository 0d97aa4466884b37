#include "config/values.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace minerva {
namespace {

using namespace std::chrono_literals;

TEST(Values, DurationsAreReadAndWritten) {
  for (const auto& [text, duration] : std::initializer_list<std::pair<std::string, Duration>>{
           {"0s", 0s}, {"500ms", 500ms}, {"30s", 30s}, {"5m", 5min}, {"2h", 2h}, {"1500ms", 1500ms}, {"90s", 90s}}) {
    const auto parsed = parse_duration(text);
    ASSERT_TRUE(parsed.has_value()) << text;
    EXPECT_EQ(*parsed, duration);
    EXPECT_EQ(format_duration(duration), text);
  }
  EXPECT_EQ(format_duration(60s), "1m");
  EXPECT_EQ(*parse_duration("8760h"), 8760h);
}

TEST(Values, WhatIsNoDuration) {
  for (const std::string text : {"", "30", "s", "-1s", "1.5s", "1 s", "366d", "1S", "1sm", "8761h",
                                 "99999999999999999999s", "9223372036854775807h"}) {
    EXPECT_FALSE(parse_duration(text).has_value()) << text;
  }
}

TEST(Values, CountsHaveARange) {
  EXPECT_EQ(*parse_count("7", 1, 10), 7U);
  for (const std::string text : {"", "0", "11", "-1", "+1", "1.0", "0x1", "1 ", "99999999999999999999999"}) {
    EXPECT_FALSE(parse_count(text, 1, 10).has_value()) << text;
  }
}

TEST(Values, Paths) {
  const char* const home = std::getenv("HOME");
  const std::string before = home == nullptr ? "" : home;
  ::setenv("HOME", "/home/u", 1);
  EXPECT_EQ(*expand_path("~", "/base"), "/home/u");
  EXPECT_EQ(*expand_path("~/models/", "/base"), "/home/u/models");
  EXPECT_EQ(*expand_path("~other", "/base"), "/base/~other");
  EXPECT_EQ(*expand_path("a/../b", "/base"), "/base/b");
  EXPECT_EQ(*expand_path("/x//y/.", "/base"), "/x/y");
  EXPECT_EQ(*expand_path("/", "/base"), "/");
  EXPECT_FALSE(expand_path("", "/base").has_value());
  ::unsetenv("HOME");
  EXPECT_FALSE(expand_path("~/models", "/base").has_value());
  if (home != nullptr) ::setenv("HOME", before.c_str(), 1);
}

}  // namespace
}  // namespace minerva
