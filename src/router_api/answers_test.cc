#include "router_api/answers.h"

#include <gtest/gtest.h>

#include "golden/golden.h"

namespace minerva::router_api {
namespace {

TEST(RouterAnswersTest, PropsOfTheRouterItself) {
  expect_golden("router_props.json", props_json({.max_models = 4, .version = "minerva 0.1.0"}) + "\n");
}

TEST(RouterAnswersTest, ABodyNamesItsModel) {
  EXPECT_EQ(parse_model_body(R"({"model":"a:b/c","extra_args":["-x"]})").value(), "a:b/c");
  for (const char* const text : {"", "[]", "{", "\"a\""}) {
    EXPECT_EQ(parse_model_body(text).error().code, ErrorCode::kInvalidArgument) << text;
  }
  for (const char* const text : {"{}", R"({"model":1})", R"({"model":""})", R"({"model":null})"}) {
    const auto refused = parse_model_body(text);
    ASSERT_FALSE(refused) << text;
    EXPECT_EQ(refused.error().param, "model") << text;
  }
}

TEST(RouterAnswersTest, Success) { EXPECT_EQ(success_json(), R"({"success":true})"); }

}  // namespace
}  // namespace minerva::router_api
