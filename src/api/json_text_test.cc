#include "api/json_text.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

TEST(JsonTextTest, TakesValuesOfEachKind) {
  for (const std::string_view text : {R"("a \"b\" \\")", R"({"a":[1,{"b":"]}"}],"c":"{"})", "[]", "{}", "-1.5e9",
                                      "true", "null", R"("")", R"(["\\\"",[[["}"]]]])"}) {
    const std::string padded = " \t\r\n" + std::string(text) + " , 1";
    JsonReader reader(padded);
    EXPECT_EQ(reader.value(), text);
    EXPECT_TRUE(reader.take(','));
    EXPECT_EQ(reader.peek(), '1');
  }
}

TEST(JsonTextTest, WhatDoesNotEndIsNothing) {
  for (const std::string_view text : {"", " ", "{", "[1", R"("a)", R"("a\")", R"({"a":"})", ",", "]", R"(["\\\"])"}) {
    EXPECT_EQ(JsonReader(text).value(), std::nullopt) << text;
  }
  EXPECT_EQ(JsonReader("  ").peek(), '\0');
  EXPECT_FALSE(JsonReader(std::string_view("\0", 1), 1).take('\0'));
}

TEST(JsonTextTest, KnowsWhatAStringMeans) {
  EXPECT_EQ(string_meaning(R"("abc")"), "abc");
  EXPECT_EQ(string_meaning(R"("\u0061\tb")"), "a\tb");
  EXPECT_EQ(string_meaning(R"("\uD800")"), std::nullopt);
  EXPECT_EQ(string_meaning("1"), std::nullopt);
  EXPECT_EQ(string_meaning("\""), std::nullopt);
  EXPECT_TRUE(means(R"("role")", "role"));
  EXPECT_TRUE(means(R"("r\u006fle")", "role"));
  EXPECT_FALSE(means(R"("roles")", "role"));
  EXPECT_FALSE(means("role", "role"));
}

}  // namespace
}  // namespace minerva::api
