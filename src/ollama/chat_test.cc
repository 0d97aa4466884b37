#include "ollama/chat.h"

#include <gtest/gtest.h>

#include "golden/golden.h"
#include "ollama/chat_answer.h"

namespace minerva::ollama {
namespace {

// A request that came a second ago, at a fixed time.
Answer answer_to(const std::string& model) {
  const TimePoint arrived{std::chrono::hours(1)};
  return {model, arrived, [arrived] {
            return Moment{arrived + std::chrono::seconds(1),
                          std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000)),
                          std::chrono::milliseconds(300)};
          }};
}

Result<EngineRequest> translated(Verb verb, const std::string& body, const ModelFacts& model = {}) {
  const Result<Request> request = parse_request(body);
  if (!request) return fail(request.error());
  return translate(verb, *request, model, answer_to(request->model));
}

// Gives the text to the translation in pieces of `size` bytes (0: all at once).
Result<std::string> told(api::AnswerTranslation& answer, std::string_view text, std::size_t size = 0) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += size) {
    if (size == 0) size = text.size();
    const auto piece = answer.take(text.substr(at, size));
    if (!piece) return piece;
    out += *piece;
  }
  auto rest = answer.finish();
  if (!rest) return rest;
  return out + *rest;
}

// One member per line; several requests, or lines of an answer, one after the other.
std::string pretty(const std::string& lines) {
  std::string out;
  std::size_t at = 0;
  while (at < lines.size()) {
    const std::size_t end = std::min(lines.find('\n', at), lines.size());
    out += Json::parse(lines.substr(at, end - at)).dump(2) + "\n";
    at = end + 1;
  }
  return out;
}

constexpr std::string_view kTimings =
    R"("timings":{"cache_n":4,"prompt_n":6,"prompt_ms":20.5,"predicted_n":3,"predicted_ms":30.25})";

std::string event(std::string_view json) { return "data: " + std::string(json) + "\n\n"; }

std::string delta(std::string_view members) {
  return event(R"({"choices":[{"finish_reason":null,"index":0,"delta":{)" + std::string(members) + "}}]}");
}

std::string last_events(std::string_view reason) {
  return event(R"({"choices":[{"finish_reason":")" + std::string(reason) + R"(","index":0,"delta":{}}]})") +
         event(R"({"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":3},)" + std::string(kTimings) + "}") +
         event("[DONE]");
}

constexpr std::string_view kChat = R"({"model":"a:latest","messages":[
    {"role":"system","content":"Be brief."},
    {"role":"user","content":"What is it?","images":["iVBORw0KGgoAAAA"]}],
    "options":{"num_predict":8,"num_ctx":2048,"temperature":0},
    "format":{"type":"object","properties":{"x":{"type":"integer"}}},
    "think":true,"keep_alive":"5m",
    "tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object"}}}]})";

TEST(ChatRequestTest, IsOpenAisForTheEngine) {
  const auto request = translated(Verb::kChat, std::string(kChat));
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->path, "/v1/chat/completions");
  EXPECT_EQ(request->answer->content_type(), "application/x-ndjson");
  expect_golden("chat_request.json", pretty(request->body));
}

TEST(ChatRequestTest, APromptIsAUsersMessage) {
  const auto request = translated(
      Verb::kGenerate,
      R"({"model":"a","prompt":"Why?","system":"Be brief.","stream":false,"format":"json","options":{"stop":"\n"}})");
  ASSERT_TRUE(request) << request.error().message;
  EXPECT_EQ(request->path, "/v1/chat/completions");
  EXPECT_EQ(request->answer->content_type(), "application/json");
  expect_golden("generate_request.json", pretty(request->body));
}

TEST(ChatRequestTest, ARawPromptGoesAsItIs) {
  const auto body_of = [](const std::string& body, bool has_template) {
    const auto request = translated(Verb::kGenerate, body, {.has_chat_template = has_template});
    return request->path + " " + request->body;
  };
  const std::string end = R"("model":"a","stream":true,"stream_options":{"include_usage":true}})";
  EXPECT_EQ(body_of(R"({"model":"a","prompt":"P","raw":true})", true), R"(/completion {"prompt":"P",)" + end);
  EXPECT_EQ(body_of(R"({"model":"a","prompt":"P","system":"S"})", false), R"(/completion {"prompt":"S\n\nP",)" + end);
  EXPECT_EQ(body_of(R"({"model":"a","prompt":"P","suffix":"S"})", true),
            R"(/infill {"input_prefix":"P","input_suffix":"S",)" + end);
  EXPECT_EQ(body_of(R"({"model":"a","prompt":"P","raw":true,"format":"json"})", true),
            R"(/completion {"prompt":"P","json_schema":{},)" + end);
}

TEST(ChatRequestTest, WhatCannotBeDoneIsRefused) {
  const std::tuple<Verb, std::string, std::string> cases[] = {
      {Verb::kGenerate, R"({"model":"a","prompt":"P","template":"{{ .Prompt }}"})", "template"},
      {Verb::kGenerate, R"({"model":"a","prompt":"P","context":[1,2]})", "context"},
      {Verb::kGenerate, R"({"model":"a","prompt":7})", "prompt"},
      {Verb::kGenerate, R"({"model":"a","prompt":"P","raw":true,"images":["x"]})", "images"},
      {Verb::kChat, R"({"model":"a","messages":"x"})", "messages"},
      {Verb::kChat, R"({"model":"a","messages":[{"role":"user","content":"x"}],"tools":{"a":1}})", "tools"},
      {Verb::kChat, R"({"model":"a","messages":[{"role":"user","content":"x"}],"format":"xml"})", "format"}};
  for (const auto& [verb, body, param] : cases) {
    const auto request = translated(verb, body);
    ASSERT_FALSE(request) << body;
    EXPECT_EQ(request.error().param, param) << body;
  }
  EXPECT_TRUE(translated(Verb::kGenerate, R"({"model":"a","prompt":"P","template":"","context":[]})"));
}

TEST(ChatRequestTest, AModelWithoutToolsOrThinkingIsNotAskedForThem) {
  const std::string tools = R"({"model":"a","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function"}]})";
  const std::string thinking = R"({"model":"a","messages":[{"role":"user","content":"x"}],"think":true})";
  const ModelFacts without = {.supports_tools = false, .supports_thinking = false};
  EXPECT_TRUE(translated(Verb::kChat, tools));
  EXPECT_TRUE(translated(Verb::kChat, thinking));
  EXPECT_EQ(translated(Verb::kChat, tools, without).error().message, "\"a\" does not support tools");
  EXPECT_EQ(translated(Verb::kChat, thinking, without).error().message, "\"a\" does not support thinking");
  EXPECT_TRUE(translated(
      Verb::kChat, R"({"model":"a","messages":[{"role":"user","content":"x"}],"tools":[],"think":false})", without));
}

TEST(ChatRequestTest, LimitsOfInferenceHold) {
  const auto request = translated(
      Verb::kChat, R"({"model":"a","messages":[{"role":"user","content":"x"}],"options":{"num_predict":3000000000}})");
  ASSERT_FALSE(request);
  EXPECT_EQ(request.error().code, ErrorCode::kInvalidArgument);
  std::string deep = "1";
  for (int i = 0; i < 100; ++i) deep = R"({"properties":{"a":)" + deep + "}}";
  EXPECT_FALSE(
      translated(Verb::kChat, R"({"model":"a","messages":[{"role":"user","content":"x"}],"format":)" + deep + "}"));
}

TEST(ChatRequestTest, WithoutAnythingToSayItLoads) {
  const auto loads = [](Verb verb, const std::string& body) { return only_loads(verb, *parse_request(body)); };
  EXPECT_TRUE(loads(Verb::kChat, R"({"model":"a"})"));
  EXPECT_TRUE(loads(Verb::kChat, R"({"model":"a","messages":[]})"));
  EXPECT_FALSE(loads(Verb::kChat, R"({"model":"a","messages":[{}]})"));
  EXPECT_TRUE(loads(Verb::kGenerate, R"({"model":"a","prompt":""})"));
  EXPECT_FALSE(loads(Verb::kGenerate, R"({"model":"a","suffix":"x"})"));
  EXPECT_EQ(loaded_answer(Verb::kChat, *parse_request(R"({"model":"a"})"), answer_to("a")),
            R"({"model":"a","created_at":"2023-11-14T22:13:20.000Z","message":{"role":"assistant","content":""},)"
            R"("done":true,"done_reason":"load"})");
  EXPECT_EQ(loaded_answer(Verb::kGenerate, *parse_request(R"({"model":"a","keep_alive":0})"), answer_to("a")),
            R"({"model":"a","created_at":"2023-11-14T22:13:20.000Z","response":"","done":true,)"
            R"("done_reason":"unload"})");
}

TEST(ChatAnswerTest, AStreamIsALineForEachPiece) {
  const auto request = translated(Verb::kChat, std::string(kChat));
  const std::string text = ": ping\n\n" + delta(R"("role":"assistant","content":null)") +
                           delta(R"("reasoning_content":"Hm")") + delta(R"("content":"It ")") +
                           delta(R"("content":"is.")") + last_events("length");
  const auto whole = told(*request->answer, text);
  ASSERT_TRUE(whole) << whole.error().message;
  expect_golden("chat_stream.txt", pretty(*whole));
  for (const std::size_t size : {1U, 7U, 64U}) {
    EXPECT_EQ(*told(*translated(Verb::kChat, std::string(kChat))->answer, text, size), *whole) << size;
  }
}

TEST(ChatAnswerTest, CallsOfToolsAreAssembledFromTheirPieces) {
  const std::string text =
      delta(R"("tool_calls":[{"index":0,"id":"q","type":"function","function":{"name":"f","arguments":"{\"x\""}}])") +
      delta(R"("tool_calls":[{"index":0,"function":{"arguments":":1}"}}])") +
      delta(R"("tool_calls":[{"index":1,"id":"r","function":{"name":"g","arguments":"{}"}}])") +
      last_events("tool_calls");
  const auto answer = told(*translated(Verb::kChat, std::string(kChat))->answer, text);
  ASSERT_TRUE(answer) << answer.error().message;
  expect_golden("chat_tool_calls.txt", pretty(*answer));
}

TEST(ChatAnswerTest, AnAnswerInOnePiece) {
  const auto chat = [](std::string_view message) {
    return R"({"choices":[{"finish_reason":"stop","index":0,"message":)" + std::string(message) +
           R"(}],"usage":{"prompt_tokens":10,"completion_tokens":3},)" + std::string(kTimings) + "}";
  };
  const std::string body = R"({"model":"a","messages":[{"role":"user","content":"x"}],"stream":false})";
  const auto answer = told(*translated(Verb::kChat, body)->answer,
                           chat(R"({"role":"assistant","content":"It is.","reasoning_content":"Hm"})"), 5);
  ASSERT_TRUE(answer) << answer.error().message;
  expect_golden("chat_answer.json", pretty(*answer));
  const auto tools = told(*translated(Verb::kChat, body)->answer,
                          chat(R"({"role":"assistant","content":null,"tool_calls":[{"type":"function","id":"q",)"
                               R"("function":{"name":"f","arguments":"{\"x\":1}"}}]})"));
  EXPECT_EQ(Json::parse(*tools)["message"]["tool_calls"],
            Json::parse(R"([{"id":"q","function":{"index":0,"name":"f","arguments":{"x":1}}}])"));
}

TEST(ChatAnswerTest, LlamasOwnShape) {
  const std::string text =
      event(R"({"index":0,"content":"It","stop":false})") +
      event(R"({"index":0,"content":"","stop":true,"stop_type":"limit",)" + std::string(kTimings) + "}");
  const auto stream = told(*translated(Verb::kGenerate, R"({"model":"a","prompt":"P","raw":true})")->answer, text);
  ASSERT_TRUE(stream) << stream.error().message;
  expect_golden("generate_stream.txt", pretty(*stream));
  const auto once =
      told(*translated(Verb::kGenerate, R"({"model":"a","prompt":"P","raw":true,"stream":false})")->answer,
           R"({"content":"It","stop":true,"stop_type":"eos",)" + std::string(kTimings) + "}");
  EXPECT_EQ(Json::parse(*once)["response"], "It");
  EXPECT_EQ(Json::parse(*once)["done_reason"], "stop");
}

TEST(ChatAnswerTest, AnErrorInAStreamIsTheEngines) {
  const auto answer = told(*translated(Verb::kChat, std::string(kChat))->answer,
                           delta(R"("content":"It")") + event(R"({"error":{"code":500,"message":"no more room"}})"));
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "no more room");
}

TEST(ChatAnswerTest, WhatIsNotUnderstoodIsAnError) {
  const std::string endless = "data: " + std::string(ChatAnswer::kMaxEvent + 1, 'x');
  for (const std::string& text :
       {std::string(), event("{"), event("[1]"), delta(R"("content":"broken off")"), endless}) {
    const auto answer = told(*translated(Verb::kChat, std::string(kChat))->answer, text);
    ASSERT_FALSE(answer) << text.substr(0, 100);
    EXPECT_EQ(answer.error().code, ErrorCode::kEngineCrashed);
  }
}

TEST(ChatAnswerTest, AForeignServerNeedsNoReasonToEnd) {
  const auto answer =
      told(*translated(Verb::kChat, std::string(kChat))->answer, delta(R"("content":"It")") + event("[DONE]"));
  ASSERT_TRUE(answer);
  EXPECT_NE(answer->find(R"("done_reason":"stop")"), std::string::npos);
}

constexpr std::string_view kTooLong =
    R"({"error":{"code":400,"message":"too long","type":"exceed_context_size_error","n_prompt_tokens":300,"n_ctx":200}})";

TEST(ShorteningTest, OldTurnsAreLeftOutUntilItFits) {
  const auto request = translated(Verb::kChat, R"({"model":"a","messages":[
      {"role":"system","content":"s"},{"role":"user","content":"1"},{"role":"assistant","content":"2"},
      {"role":"user","content":"3"},{"role":"assistant","content":"4"},{"role":"user","content":"5"}]})");
  EXPECT_FALSE(request->answer->smaller_body(400, R"({"error":{"code":400,"message":"another reason"}})"));
  EXPECT_FALSE(request->answer->smaller_body(503, kTooLong));
  const auto once = request->answer->smaller_body(400, kTooLong);
  ASSERT_TRUE(once);
  EXPECT_EQ(Json::parse(*once)["messages"].size(), 4U);
  const auto twice = request->answer->smaller_body(400, kTooLong);
  ASSERT_TRUE(twice);
  EXPECT_EQ(Json::parse(*twice)["messages"],
            Json::parse(R"([{"role":"system","content":"s"},{"role":"user","content":"5"}])"));
  EXPECT_FALSE(request->answer->smaller_body(400, kTooLong));
}

TEST(ShorteningTest, NotWhenTheRequestSaysSo) {
  const auto request = translated(Verb::kChat, R"({"model":"a","truncate":false,"messages":[
      {"role":"user","content":"1"},{"role":"assistant","content":"2"},{"role":"user","content":"3"}]})");
  EXPECT_FALSE(request->answer->smaller_body(400, kTooLong));
}

}  // namespace
}  // namespace minerva::ollama
