#include "engine/inspection.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(ParseInspection, ReadsWhatTheInspectorPrints) {
  const auto metadata = parse_inspection(
      R"({"architecture":"llama","name":"x","parameters":134515008,"quantization":"Q4_1","trained_context":8192,)"
      R"("can_generate":true,"can_embed":false,"can_rerank":false,"chat_template":true,"multimodal":false,)"
      R"("memory":{"host":{"weights":1},"prompt_cache_bytes":500,"checkpoints_bytes":70,)"
      R"("total_bytes":987654321}})");
  ASSERT_TRUE(metadata.has_value()) << metadata.error().message;
  EXPECT_EQ(metadata->architecture, "llama");
  EXPECT_EQ(metadata->quantization, "Q4_1");
  EXPECT_EQ(metadata->parameters, 134515008U);
  EXPECT_EQ(metadata->trained_context, 8192U);
  EXPECT_TRUE(metadata->can_generate);
  EXPECT_FALSE(metadata->can_embed);
  EXPECT_FALSE(metadata->can_rerank);
  EXPECT_TRUE(metadata->has_chat_template);
  EXPECT_FALSE(metadata->multimodal);
  EXPECT_EQ(metadata->predicted, Bytes(987654321));
  EXPECT_EQ(metadata->conversations, Bytes(570));
  EXPECT_EQ(metadata->footprint(), metadata->predicted) << "nothing was measured yet";
}

TEST(ParseInspection, AnErrorIsTheFilesFault) {
  const auto metadata = parse_inspection(R"({"error":"not a GGUF file"})");
  ASSERT_FALSE(metadata.has_value());
  EXPECT_EQ(metadata.error().code, ErrorCode::kInvalidModel);
  EXPECT_TRUE(metadata.error().message.ends_with(": not a GGUF file")) << metadata.error().message;
}

TEST(ParseInspection, AnythingElseIsInternal) {
  for (const std::string_view text :
       {"", "hello", "[]", "{", R"({"architecture":"llama"})", R"({"memory":7})", R"({"memory":{"total_bytes":"1"}})",
        R"({"memory":{"total_bytes":0}})", R"({"memory":{"total_bytes":-5}})"}) {
    const auto metadata = parse_inspection(text);
    ASSERT_FALSE(metadata.has_value()) << text;
    EXPECT_EQ(metadata.error().code, ErrorCode::kInternal) << text;
  }
}

TEST(ParseInspection, OddFieldsAreAsIfMissing) {
  const auto metadata =
      parse_inspection(R"({"architecture":7,"parameters":"many","trained_context":99999999999,"can_generate":"yes",)"
                       R"("memory":{"total_bytes":1}})");
  ASSERT_TRUE(metadata.has_value());
  EXPECT_EQ(metadata->architecture, "");
  EXPECT_EQ(metadata->parameters, 0U);
  EXPECT_EQ(metadata->trained_context, 4294967295U);
  EXPECT_FALSE(metadata->can_generate);
}

}  // namespace
}  // namespace minerva
