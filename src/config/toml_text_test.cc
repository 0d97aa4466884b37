#include "config/toml_text.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(TomlTextTest, WritesWhatTomlReads) {
  EXPECT_EQ(toml_string("a \"b\" \\ \n\x7f\xc3\xa9"), "\"a \\\"b\\\" \\\\ \\u000A\\u007F\xc3\xa9\"");
  const api::Json json = {
      {"a", {1, 2.5, "x", true, api::Json::array()}}, {"b c", {{"d-e_1", api::Json::object()}}}, {"", 1e30}};
  EXPECT_EQ(toml_value(json), R"({ a = [1, 2.5, "x", true, []], "b c" = { d-e_1 = {} }, "" = 1e+30 })");
}

}  // namespace
}  // namespace minerva
