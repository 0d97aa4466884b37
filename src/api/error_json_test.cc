#include "api/error_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "golden/golden.h"

namespace minerva::api {
namespace {

using Json = nlohmann::ordered_json;

TEST(ErrorBody, IsOpenAisShape) {
  expect_golden("error.json", error_body({ErrorCode::kModelNotFound, "There is no model \"x\".", "model", 0}) + "\n" +
                                  error_body({ErrorCode::kQueueFull, "Too many are waiting.", "", 3}) + "\n");
}

TEST(ErrorBody, SurvivesBytesThatAreNoText) {
  const Json json = Json::parse(error_body({ErrorCode::kInvalidArgument, "\xff\"\n\x01", "\xfe", 0}));
  EXPECT_NE(json["error"]["message"].get<std::string>().find('"'), std::string::npos);
}

TEST(EngineError, BecomesOpenAisShape) {
  const std::pair<int, std::string> cases[] = {
      {400, R"({"error":{"code":400,"message":"\"messages\" is missing","type":"invalid_request_error"}})"},
      {400,
       R"({"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":9,"n_ctx":8}})"},
      {404, R"({"error":{"code":404,"message":"File Not Found","type":"not_found_error"}})"},
      {501, R"({"error":{"code":501,"message":"no embeddings","type":"not_supported_error"}})"},
      {500, R"({"error":{"code":500,"message":"oops","type":"server_error"}})"},
      {503, R"({"error":{"code":503,"message":"Loading model","type":"unavailable_error"}})"},
      {400, R"({"error":{"message":"already so","type":"invalid_request_error","param":"model","code":"my_code"}})"},
      {400, R"({"object":"error","message":"flat","type":"BadRequestError","param":null,"code":400})"},
      {422, R"({"detail":[{"loc":["body"],"msg":"field required"}]})"},
      {418, R"({"error":"just text"})"},
      {500, "  Internal Server Error\n"},
      {502, ""},
      {500, "[1,2"},
  };
  std::string text;
  for (const auto& [status, body] : cases) text += normalize_engine_error(status, body).body + "\n";
  expect_golden("engine_errors.json", text);
}

TEST(EngineError, ItsStatusIsWhatItMeans) {
  const auto status_of = [](int status, const std::string& message) {
    return normalize_engine_error(status, R"({"error":{"code":500,"message":")" + message + R"("}})").status;
  };
  EXPECT_EQ(status_of(501, "This server does not support embeddings. Start it with `--embeddings`"), 400);
  EXPECT_EQ(status_of(500, "[json.exception.type_error.302] type must be string, but is number"), 400);
  EXPECT_EQ(status_of(500, "oops"), 500);
  EXPECT_EQ(status_of(501, "something else"), 501);
}

TEST(EngineError, IsBounded) {
  const std::string long_text(100'000, 'x');
  EXPECT_LT(normalize_engine_error(500, long_text).body.size(), 3'000U);
  const std::string deep =
      R"({"error":{"message":"m","extra":)" + std::string(200'000, '[') + std::string(200'000, ']') + "}}";
  EXPECT_EQ(Json::parse(normalize_engine_error(500, deep).body)["error"]["message"], "m");
}

TEST(ErrorFromAnswer, FindsTheCodeByNameThenByStatus) {
  const Error there{ErrorCode::kModelNotFound, "There is no model \"x\".", "model", 0};
  const Error back = error_from_answer(404, error_body(there));
  EXPECT_EQ(back.code, there.code);
  EXPECT_EQ(back.message, there.message);
  EXPECT_EQ(back.param, there.param);
  EXPECT_EQ(error_from_answer(503, "busy").code, ErrorCode::kNoCapacity);
  EXPECT_EQ(error_from_answer(503, "busy").message, "busy");
  EXPECT_EQ(error_from_answer(404, "nothing here").code, ErrorCode::kRouteNotFound);
  EXPECT_FALSE(error_from_answer(500, "").message.empty());
}

}  // namespace
}  // namespace minerva::api
