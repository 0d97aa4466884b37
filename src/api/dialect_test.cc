#include "api/dialect.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

const Error kNoSuchModel{ErrorCode::kModelNotFound, "There is no model \"x\".", "model"};

TEST(DialectTest, EachApiHasItsOwnErrorShape) {
  EXPECT_EQ(error_body(Dialect::kOpenAi, kNoSuchModel),
            R"({"error":{"message":"There is no model \"x\".","type":"invalid_request_error","param":"model",)"
            R"("code":"model_not_found"}})");
  EXPECT_EQ(error_body(Dialect::kAnthropic, kNoSuchModel),
            R"({"type":"error","error":{"type":"not_found_error","message":"There is no model \"x\"."}})");
  EXPECT_EQ(error_body(Dialect::kOllama, kNoSuchModel), R"({"error":"There is no model \"x\"."})");
}

TEST(DialectTest, AnEnginesErrorKeepsItsMessageInEachShape) {
  const std::string engine = R"({"error":{"code":400,"message":"too long","type":"exceed_context_size_error"}})";
  EXPECT_EQ(engine_error(Dialect::kAnthropic, 400, engine).body,
            R"({"type":"error","error":{"type":"invalid_request_error","message":"too long"}})");
  EXPECT_EQ(engine_error(Dialect::kOllama, 400, engine).body, R"({"error":"too long"})");
}

TEST(DialectTest, APromptThatIsTooLongSaysWhatToDo) {
  const std::string engine =
      R"({"error":{"code":400,"message":"request (20 tokens) exceeds the available context size (8 tokens), )"
      R"(try increasing it","type":"exceed_context_size_error","n_prompt_tokens":20,"n_ctx":8}})";
  const std::string said =
      R"(request (20 tokens) exceeds the available context size (8 tokens): send less, or raise \"context\" in the )"
      R"(model's [model] section of the server's settings.)";
  EXPECT_EQ(engine_error(Dialect::kOpenAi, 400, engine).body,
            R"({"error":{"message":")" + said +
                R"(","type":"invalid_request_error","param":null,"code":"context_length_exceeded",)"
                R"("n_prompt_tokens":20,"n_ctx":8}})");
  EXPECT_EQ(engine_error(Dialect::kOllama, 400, engine).body, R"({"error":")" + said + R"("})");
  // Claude Code finds the numbers by /prompt is too long[^0-9]*(\d+)\s*tokens?\s*>\s*(\d+)/.
  EXPECT_EQ(engine_error(Dialect::kAnthropic, 400, engine).body,
            R"({"type":"error","error":{"type":"invalid_request_error",)"
            R"("message":"prompt is too long: 20 tokens > 8 maximum: )" +
                said + R"("}})");
}

TEST(DialectTest, AnEnginesStatusIsWhatItMeans) {
  const std::string engine = R"({"error":{"code":501,"message":"This server does not support embeddings. Start it"}})";
  for (const Dialect dialect : {Dialect::kOpenAi, Dialect::kAnthropic, Dialect::kOllama}) {
    const EngineError error = engine_error(dialect, 501, engine);
    EXPECT_EQ(error.status, 400);
    EXPECT_EQ(error.body.find("Start it"), std::string::npos) << error.body;
  }
}

TEST(DialectTest, AnthropicsTypesFollowTheStatus) {
  const auto type_of = [](ErrorCode code) { return error_body(Dialect::kAnthropic, {code, "x"}); };
  EXPECT_NE(type_of(ErrorCode::kUnauthorized).find("authentication_error"), std::string::npos);
  EXPECT_NE(type_of(ErrorCode::kQueueFull).find("rate_limit_error"), std::string::npos);
  EXPECT_NE(type_of(ErrorCode::kNoCapacity).find("overloaded_error"), std::string::npos);
  EXPECT_NE(type_of(ErrorCode::kTooLarge).find("request_too_large"), std::string::npos);
  EXPECT_NE(type_of(ErrorCode::kEngineCrashed).find("api_error"), std::string::npos);
}

TEST(DialectTest, AStreamEndsWithAnErrorThatItsClientsSee) {
  EXPECT_EQ(stream_error(Dialect::kOpenAi, "{}"), "data: {}\n\n");
  EXPECT_EQ(stream_error(Dialect::kAnthropic, "{}"), "event: error\ndata: {}\n\n");
  EXPECT_EQ(stream_error(Dialect::kOllama, "{}"), "{}\n");
}

TEST(DialectTest, LinesOfJsonHaveNoHeartbeat) {
  EXPECT_EQ(heartbeat(Dialect::kOpenAi, "waking"), ": waking\n");
  EXPECT_EQ(heartbeat(Dialect::kOllama, "waking"), "");
}

}  // namespace
}  // namespace minerva::api
