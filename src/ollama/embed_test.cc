#include "ollama/embed.h"

#include <gtest/gtest.h>

namespace minerva::ollama {
namespace {

Result<EngineRequest> translated(EmbedVerb verb, const std::string& body) {
  const Result<Request> request = parse_request(body);
  if (!request) return fail(request.error());
  const TimePoint arrived{std::chrono::hours(1)};
  return translate(verb, *request, {request->model, arrived, [arrived] {
                                      return Moment{
                                          arrived + std::chrono::seconds(1), {}, std::chrono::milliseconds(300)};
                                    }});
}

std::string answered(api::AnswerTranslation& answer, const std::string& text) {
  for (const char c : text) EXPECT_TRUE(answer.take(std::string_view(&c, 1)));
  const auto whole = answer.finish();
  return whole ? *whole : whole.error().message;
}

constexpr const char* kVectors =
    R"({"data":[{"embedding":[0.6,0.8],"index":0},{"embedding":[1.0,0.0],"index":1}],"usage":{"prompt_tokens":7}})";

TEST(EmbedTest, AListOfTexts) {
  const auto request = translated(EmbedVerb::kEmbed, R"({"model":"e","input":["a","b"]})");
  ASSERT_TRUE(request);
  EXPECT_EQ(request->path, "/v1/embeddings");
  EXPECT_EQ(request->body, R"({"model":"e","input":["a","b"],"encoding_format":"float"})");
  EXPECT_EQ(answered(*request->answer, kVectors),
            R"({"model":"e","embeddings":[[0.6,0.8],[1.0,0.0]],"total_duration":1000000000,)"
            R"("load_duration":300000000,"prompt_eval_count":7})");
}

TEST(EmbedTest, TheOlderRoute) {
  const auto request = translated(EmbedVerb::kEmbedding, R"({"model":"e","prompt":"a"})");
  EXPECT_EQ(request->body, R"({"model":"e","input":["a"],"encoding_format":"float"})");
  EXPECT_EQ(answered(*request->answer, kVectors), R"({"embedding":[0.6,0.8]})");
}

TEST(EmbedTest, FewerDimensionsAreOfLengthOneAgain) {
  const auto request = translated(EmbedVerb::kEmbed, R"({"model":"e","input":"a","dimensions":1})");
  EXPECT_EQ(Json::parse(answered(*request->answer, kVectors))["embeddings"], Json::parse("[[1.0],[1.0]]"));
}

TEST(EmbedTest, NothingToEmbedLoads) {
  const auto nothing = [](EmbedVerb verb, const char* body) { return *embeds_nothing(verb, *parse_request(body)); };
  EXPECT_TRUE(nothing(EmbedVerb::kEmbed, R"({"model":"e"})"));
  EXPECT_TRUE(nothing(EmbedVerb::kEmbed, R"({"model":"e","input":[]})"));
  EXPECT_TRUE(nothing(EmbedVerb::kEmbedding, R"({"model":"e","prompt":""})"));
  EXPECT_FALSE(nothing(EmbedVerb::kEmbed, R"({"model":"e","input":[""]})"));
}

TEST(EmbedTest, WrongOnesAreNamed) {
  EXPECT_EQ(translated(EmbedVerb::kEmbed, R"({"input":7})").error().param, "input");
  EXPECT_EQ(translated(EmbedVerb::kEmbed, R"({"input":[[1,2]]})").error().param, "input");
  EXPECT_EQ(translated(EmbedVerb::kEmbedding, R"({"prompt":["a"]})").error().param, "prompt");
  EXPECT_EQ(translated(EmbedVerb::kEmbed, R"({"input":"a","dimensions":-1})").error().param, "dimensions");
  for (const char* bad : {"", "{}", "[]", R"({"data":[]})", R"({"data":[7]})", R"({"data":[{"embedding":"AAAA"}]})"}) {
    const auto request = translated(EmbedVerb::kEmbed, R"({"model":"e","input":"a"})");
    EXPECT_TRUE(answered(*request->answer, bad).starts_with("The engine's answer was not understood")) << bad;
  }
}

TEST(EmbedTest, LongTextsAreCutAtCharacters) {
  const std::string refusal = R"({"error":{"code":400,"n_prompt_tokens":100,"n_ctx":50}})";
  std::string text;
  for (int i = 0; i < 50; ++i) text += "ä";
  const auto request = translated(EmbedVerb::kEmbed, R"({"model":"e","input":["short",")" + text + "\"]}");
  const auto smaller = request->answer->smaller_body(400, refusal);
  ASSERT_TRUE(smaller);
  const Json inputs = Json::parse(*smaller)["input"];
  EXPECT_EQ(inputs[0], "short");
  EXPECT_EQ(inputs[1], text.substr(0, 46));  // 47.5 bytes, whole characters
  // In the end there is nothing left to cut: the client gets the error.
  unsigned tries = 1;
  while (request->answer->smaller_body(400, refusal)) ++tries;
  EXPECT_LE(tries, EmbedAnswer::kMaxTries);
  EXPECT_FALSE(request->answer->smaller_body(500, R"({"error":{"message":"another reason"}})"));
}

TEST(EmbedTest, NothingIsCutWhenTheRequestSaysSo) {
  const auto request = translated(EmbedVerb::kEmbed, R"({"model":"e","input":"aaaaaaaa","truncate":false})");
  EXPECT_FALSE(request->answer->smaller_body(400, R"({"error":{"n_prompt_tokens":100,"n_ctx":50}})"));
}

}  // namespace
}  // namespace minerva::ollama
