#include "ollama/options.h"

#include <gtest/gtest.h>

namespace minerva::ollama {
namespace {

Json added(const std::string& options, unsigned context = 0) {
  Json engine = Json::object();
  const auto error = add_options(Json{{"options", Json::parse(options)}}, context, engine);
  return error ? Json(error->param) : engine;
}

TEST(OptionsTest, NamesAreLlamas) {
  EXPECT_EQ(added(R"({"num_predict":5,"temperature":0.5,"top_k":3,"stop":"x","seed":7})"),
            Json::parse(R"({"n_predict":5,"seed":7,"temperature":0.5,"top_k":3,"stop":["x"]})"));
  EXPECT_EQ(added(R"({"stop":["a","b"],"mirostat":2})"), Json::parse(R"({"mirostat":2,"stop":["a","b"]})"));
}

TEST(OptionsTest, HowAModelIsLoadedIsNotTheRequests) {
  EXPECT_EQ(added(R"({"num_ctx":512,"num_gpu":1,"num_thread":2,"use_mmap":false,"tfs_z":1,"what":[1]})"),
            Json::object());
  EXPECT_EQ(added(R"({"temperature":null})"), Json::object());
}

TEST(OptionsTest, WithoutAnEndIsMinusOne) {
  for (const char* text : {R"({"num_predict":-2})", R"({"num_predict":-1})", R"({"num_predict":0})"}) {
    EXPECT_EQ(added(text)["n_predict"], -1) << text;
  }
  EXPECT_EQ(added(R"({"repeat_last_n":-1})", 4096)["repeat_last_n"], 4096);
}

TEST(OptionsTest, WholeNumbersMayComeAsFractions) {
  EXPECT_EQ(added(R"({"top_k":40.0})")["top_k"].dump(), "40");
  EXPECT_EQ(added(R"({"top_k":40.5})"), "options.top_k");
  EXPECT_EQ(added(R"({"top_k":1e300})"), "options.top_k");
  EXPECT_EQ(added(R"({"seed":18446744073709551615})"), "options.seed");
}

TEST(OptionsTest, TheWrongTypeIsNamed) {
  EXPECT_EQ(added("[]"), "options");
  EXPECT_EQ(added(R"({"temperature":"hot"})"), "options.temperature");
  EXPECT_EQ(added(R"({"stop":[1]})"), "options.stop");
}

TEST(OptionsTest, Formats) {
  EXPECT_EQ(*schema_of(Json::object()), Json(nullptr));
  EXPECT_EQ(*schema_of(Json{{"format", ""}}), Json(nullptr));
  EXPECT_EQ(*schema_of(Json{{"format", "json"}}), Json::object());
  EXPECT_EQ(*schema_of(Json::parse(R"({"format":{"type":"object"}})")), Json::parse(R"({"type":"object"})"));
  EXPECT_EQ(schema_of(Json{{"format", "xml"}}).error().param, "format");
}

TEST(OptionsTest, Thinking) {
  const auto thinking = [](const Json& think) {
    Json engine = Json::object();
    const auto error = add_thinking(Json{{"think", think}}, engine);
    return error ? error->param : api::dump(engine);
  };
  EXPECT_EQ(thinking(false), R"({"chat_template_kwargs":{"enable_thinking":false}})");
  EXPECT_EQ(thinking("high"), R"({"chat_template_kwargs":{"enable_thinking":true},"reasoning_effort":"high"})");
  EXPECT_EQ(thinking(nullptr), "{}");
  EXPECT_EQ(thinking(3), "think");
}

TEST(RequestTest, StreamsUnlessItSaysOtherwise) {
  EXPECT_TRUE(parse_request(R"({"model":"a"})")->stream);
  EXPECT_FALSE(parse_request(R"({"model":"a","stream":false})")->stream);
  EXPECT_EQ(parse_request(R"({"name":"a"})")->model, "a");
  EXPECT_TRUE(parse_request("{}")->truncate);
}

TEST(RequestTest, BrokenBodiesAreRefused) {
  for (const char* body : {"", "[]", "{", R"({"model":7})", R"({"stream":"yes"})", R"({"truncate":1})"}) {
    const auto request = parse_request(body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().code, ErrorCode::kInvalidArgument) << body;
  }
  EXPECT_FALSE(parse_request(R"({"model":)" + std::string(1000, '[') + std::string(1000, ']') + "}"));
}

TEST(RequestTest, KeepAliveIsATimeOrANumberOfSeconds) {
  using std::chrono::minutes;
  using std::chrono::seconds;
  const auto time = [](const std::string& value) {
    const auto request = parse_request(R"({"keep_alive":)" + value + "}");
    return request && request->keep_alive ? request->keep_alive->time : std::optional(Duration(-7));
  };
  EXPECT_EQ(time("\"5m\""), minutes(5));
  EXPECT_EQ(time("\"1h30m\""), minutes(90));
  EXPECT_EQ(time("\"1500ms\""), std::chrono::milliseconds(1500));
  EXPECT_EQ(time("30"), seconds(30));
  EXPECT_EQ(time("\"30\""), seconds(30));
  EXPECT_EQ(time("0"), Duration::zero());
  EXPECT_EQ(time("\"0\""), Duration::zero());
  EXPECT_EQ(time("-1"), std::nullopt);
  EXPECT_EQ(time("\"-1m\""), std::nullopt);
  EXPECT_EQ(time("1e300"), std::nullopt);
  for (const char* wrong : {"\"soon\"", "\"5 m\"", "\"\"", "\"5m3\"x", "[]", "true", "\"1h-3m\"", "\"5d\""}) {
    EXPECT_EQ(time(wrong), Duration(-7)) << wrong;
  }
  EXPECT_FALSE(parse_request("{}")->keep_alive);
  EXPECT_FALSE(parse_request(R"({"keep_alive":null})")->keep_alive);
}

TEST(RequestTest, WhatFitsIsReadFromARefusal) {
  EXPECT_DOUBLE_EQ(*part_that_fits(R"({"error":{"code":400,"n_prompt_tokens":200,"n_ctx":50}})"), 0.25);
  EXPECT_DOUBLE_EQ(*part_that_fits(R"x({"error":{"code":500,"message":"input (1000 tokens) is too large to process. )x"
                                   R"x(increase the physical batch size (current batch size: 500)"}})x"),
                   0.5);
  for (const char* other : {"", "{}", R"({"error":"text"})", R"({"error":{"message":"input (x"}})",
                            R"({"error":{"n_prompt_tokens":0,"n_ctx":5}})"}) {
    EXPECT_FALSE(part_that_fits(other)) << other;
  }
}

}  // namespace
}  // namespace minerva::ollama
