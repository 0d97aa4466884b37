#include "cli/answers.h"

#include <gtest/gtest.h>

namespace minerva::cli {
namespace {

TEST(Answers, ReadOddFieldsAsDefaults) {
  const auto json = parse_answer(R"({"text":"a","number":-3,"large":1e300,"flag":true,"list":["a",1,"b"],"no":null})");
  ASSERT_TRUE(json);
  EXPECT_EQ(text_of(*json, "text"), "a");
  EXPECT_EQ(text_of(*json, "number"), "");
  EXPECT_EQ(text_of(*json, "missing"), "");
  EXPECT_EQ(number_of(*json, "number"), 0);
  EXPECT_EQ(number_of(*json, "large"), 1e18);
  EXPECT_EQ(number_of(*json, "text"), 0);
  EXPECT_TRUE(flag_of(*json, "flag"));
  EXPECT_FALSE(flag_of(*json, "text"));
  EXPECT_EQ(joined(list_of(*json, "list")), "a, b");
  EXPECT_TRUE(list_of(*json, "text").empty());
  EXPECT_TRUE(object_of(*json, "list").empty());
  EXPECT_EQ(text_of(list_of(*json, "list"), "x"), "");
  for (const std::string text : {"", "[]", "<html>", "{"}) EXPECT_FALSE(parse_answer(text)) << text;
}

TEST(Answers, NameTheParkedOnes) {
  const auto stats = parse_answer(R"({"models":[{"id":"a","state":"hot"},{"id":"b","state":"parked"},7,
                                     {"id":"c","state":"parking"},{"id":"d","state":"waking"},{"state":"hot"}]})");
  ASSERT_TRUE(stats);
  EXPECT_EQ(joined(parked_models(*stats)), "b, c");
  EXPECT_TRUE(parked_models(*parse_answer("{}")).empty());
}

TEST(Answers, ShowMemory) {
  EXPECT_EQ(format_mib(300), "300 MiB");
  EXPECT_EQ(format_mib(1536), "1.5 GiB");
  EXPECT_EQ(format_mib(1e30), format_mib(1e12));
}

TEST(ServerError, IsNeverWrongUsage) {
  const auto exit_of = [](int status, std::string_view body) {
    return error_info(server_error(status, body).code).cli_exit;
  };
  EXPECT_EQ(exit_of(400, R"({"error":{"message":"m","code":"invalid_argument"}})"), 1);
  EXPECT_EQ(exit_of(400, ""), 1);
  EXPECT_EQ(exit_of(404, R"({"error":{"message":"m","code":"model_not_found"}})"), 4);
  EXPECT_EQ(exit_of(404, "nothing here"), 1);
  EXPECT_EQ(exit_of(503, ""), 1);
  EXPECT_EQ(exit_of(503, R"({"error":{"message":"the hub fails","code":"unreachable"}})"), 1);
}

}  // namespace
}  // namespace minerva::cli
