#include "ollama/listing.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "golden/golden.h"

namespace minerva::ollama {
namespace {

std::string indented(const std::string& text) { return nlohmann::ordered_json::parse(text).dump(2) + "\n"; }

TagAnswer tag(const ModelId& id) {
  return {id,
          "1:2:3",
          std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'000)),
          Bytes::mib(400),
          {"qwen3", 596'049'920, "Q4_K_M"}};
}

TEST(ListingTest, Tags) {
  TagAnswer unknown = tag("org/repo:Q8_0");
  unknown.details = {};
  expect_golden("tags.json", indented(tags_json({tag("qwen3-0.6b"), unknown})));
}

TEST(ListingTest, Running) {
  const RunningAnswer running{tag("qwen3-0.6b"), Bytes::mib(600), Bytes(),
                              std::chrono::system_clock::time_point(std::chrono::seconds(1'700'000'300)), 8192};
  expect_golden("ps.json", indented(ps_json({running})));
}

TEST(ListingTest, Show) {
  ShowAnswer show;
  show.model = tag("qwen3-0.6b");
  show.trained_context = 40960;
  show.context = 8192;
  show.chat_template = "{{ messages }}";
  show.can_generate = show.can_embed = show.has_chat_template = true;
  show.supports_tools = show.supports_thinking = show.sees = true;
  show.values = {{"general.file_type", std::int64_t{15}},
                 {"qwen3.rope.freq_base", 1e6},
                 {"tokenizer.ggml.add_bos_token", false},
                 {"tokenizer.ggml.model", std::string("gpt2")}};
  expect_golden("show.json", indented(show_json(show)));
}

TEST(ListingTest, AnEmbeddingModelSaysSo) {
  ShowAnswer show;
  show.model = tag("bge");
  show.can_embed = true;
  EXPECT_NE(show_json(show).find(R"("capabilities":["embedding"])"), std::string::npos);
}

TEST(ListingTest, AModelThatFillsGapsSaysSo) {
  ShowAnswer show;
  show.model = tag("coder");
  show.can_generate = show.can_infill = true;
  EXPECT_NE(show_json(show).find(R"("capabilities":["completion","insert"])"), std::string::npos);
}

TEST(ListingTest, NamesHaveATag) {
  EXPECT_EQ(tagged_name("a"), "a:latest");
  EXPECT_EQ(tagged_name("org/repo:Q4_0"), "org/repo:Q4_0");
  EXPECT_EQ(untagged_name("a:latest"), "a");
  EXPECT_EQ(untagged_name("a"), std::nullopt);
}

TEST(ListingTest, SizesAreWrittenAsPeopleSayThem) {
  EXPECT_EQ(parameter_size(0), "");
  EXPECT_EQ(parameter_size(7'615'616'512), "7.6B");
  EXPECT_EQ(parameter_size(596'049'920), "596.05M");
  EXPECT_EQ(parameter_size(12'345), "12K");
}

TEST(ListingTest, APullTellsHowFarItIs) {
  const std::string which = digest("x.gguf", "c1");
  EXPECT_EQ(pull_json("x.gguf", "c1", Bytes(100), Bytes(7)), R"({"status":"pulling )" + which.substr(0, 12) +
                                                                 R"(","digest":"sha256:)" + which +
                                                                 R"(","total":100,"completed":7})");
}

TEST(ListingTest, ADigestIsTheFilesOwn) {
  EXPECT_EQ(digest("a", "1").size(), 64U);
  EXPECT_EQ(digest("a", "1"), digest("a", "1"));
  EXPECT_NE(digest("a", "1"), digest("a", "2"));
}

}  // namespace
}  // namespace minerva::ollama
