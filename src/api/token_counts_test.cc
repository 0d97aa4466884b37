#include "api/token_counts.h"

#include <gtest/gtest.h>

#include <string>

namespace minerva::api {
namespace {

TEST(TokenCounts, LlamaCppsTimingsCount) {
  const TokenCounts counts = read_token_counts(
      R"(data: {"choices":[],"usage":{"completion_tokens":9,"prompt_tokens":9},"timings":{"cache_n":236,"prompt_n":4,)"
      R"("prompt_ms":30.9,"predicted_n":35,"predicted_per_second":52.9}})"
      "\n\ndata: [DONE]\n\n");
  EXPECT_EQ(counts, (TokenCounts{240, 236, 35, 52.9}));
}

TEST(TokenCounts, ASingleTokenHasNoSpeed) {
  EXPECT_EQ(read_token_counts(R"({"timings":{"prompt_n":4,"predicted_n":1,"predicted_per_second":1000000.0}})"),
            (TokenCounts{4, std::nullopt, 1, std::nullopt}));
}

TEST(TokenCounts, UsageCountsWhereThereIsNothingElse) {
  EXPECT_EQ(read_token_counts(
                R"({"usage":{"prompt_tokens":7,"completion_tokens":3,"prompt_tokens_details":{"cached_tokens":5}}})"),
            (TokenCounts{7, 5, 3, std::nullopt}));
  EXPECT_EQ(read_token_counts(R"({"usage":{"cache_read_input_tokens":5,"input_tokens":2,"output_tokens":3}})"),
            (TokenCounts{7, 5, 3, std::nullopt}));
}

TEST(TokenCounts, WhatIsBrokenOrOnlyTextCountsAsNothing) {
  for (const char* const text : {"", R"({"timings":)", R"({"timings":{"prompt_n":4)", R"({"timings":7})",
                                 R"({"timings":{"prompt_n":-4,"predicted_n":"x"}})", R"({"usage":null})",
                                 R"({"content":"\"timings\":{\"prompt_n\":4}"})"}) {
    EXPECT_EQ(read_token_counts(text), TokenCounts()) << text;
  }
}

TEST(TokenCounts, TheEndOfAnAnswerIsKeptInPiecesOfAnySize) {
  const std::string text = std::string(5000, 'x') + R"({"timings":{"prompt_n":4,"predicted_n":20}})" + "\n\n";
  for (const std::size_t step : {1U, 7U, 300U, 2048U, 2049U, 100000U}) {
    AnswerEnd end;
    for (std::size_t at = 0; at < text.size(); at += step) end.take(std::string_view(text).substr(at, step));
    EXPECT_EQ(end.counts(), (TokenCounts{4, std::nullopt, 20, std::nullopt})) << step;
  }
}

}  // namespace
}  // namespace minerva::api
