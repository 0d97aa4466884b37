#include "engine/inspection.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

TEST(ParseInspection, ReadsWhatTheInspectorPrints) {
  const auto metadata = parse_inspection(
      R"({"architecture":"llama","name":"x","parameters":134515008,"quantization":"Q4_1","trained_context":8192,)"
      R"("can_generate":true,"can_embed":false,"can_rerank":false,"can_infill":true,"has_chat_template":true,"multimodal":false,)"
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
  EXPECT_TRUE(metadata->can_infill);
  EXPECT_TRUE(metadata->has_chat_template);
  EXPECT_FALSE(metadata->multimodal);
  EXPECT_EQ(metadata->predicted, Bytes(987654321));
  EXPECT_EQ(metadata->conversations(), Bytes(570));
  EXPECT_EQ(metadata->footprint(), metadata->predicted) << "nothing was measured yet";
}

TEST(ParseInspection, ReadsWhatOthersAskForInItsOwnWords) {
  const auto metadata = parse_inspection(
      R"({"kind":"model","name":"Tiny","architecture":"llama","has_chat_template":true,"chat_template":"{{ x }}",)"
      R"("supports_tools":true,"supports_thinking":true,"input_modalities":["text","image","smell"],)"
      R"("values":{"llama.context_length":4096,"llama.rope.freq_base":1e4,"general.version":"3","a":true,)"
      R"("list":[1],"large":18446744073709551615},"memory":{"total_bytes":1}})");
  ASSERT_TRUE(metadata.has_value()) << metadata.error().message;
  EXPECT_EQ(metadata->kind, FileKind::kModel);
  EXPECT_EQ(metadata->name, "Tiny");
  EXPECT_EQ(metadata->chat_template, "{{ x }}");
  EXPECT_TRUE(metadata->supports_tools);
  EXPECT_TRUE(metadata->supports_thinking);
  EXPECT_EQ(metadata->input_modalities, (std::vector<std::string>{"text", "image"}));
  const std::map<std::string, MetadataValue> expected = {{"llama.context_length", std::int64_t{4096}},
                                                         {"llama.rope.freq_base", 1e4},
                                                         {"general.version", "3"},
                                                         {"a", true}};
  EXPECT_EQ(metadata->file_values, expected);
}

TEST(ParseInspection, ItsListsAreBounded) {
  std::string values;
  for (int i = 0; i < 1000; ++i) values += "\"k" + std::to_string(i) + "\":" + std::to_string(i) + ",";
  values += "\"long\":\"" + std::string(1000, 'x') + "\"";
  const auto metadata = parse_inspection("{\"values\":{" + values + "},\"memory\":{\"total_bytes\":1}}");
  ASSERT_TRUE(metadata.has_value());
  EXPECT_EQ(metadata->file_values.size(), 200U);
  EXPECT_FALSE(metadata->file_values.contains("long"));
}

TEST(ParseInspection, AFileThatGoesWithAModelIsNoFailure) {
  const std::pair<const char*, FileKind> kinds[] = {{"projector", FileKind::kProjector},
                                                    {"draft", FileKind::kDraft},
                                                    {"adapter", FileKind::kAdapter},
                                                    {"importance matrix", FileKind::kImportanceMatrix},
                                                    {"other", FileKind::kOther}};
  for (const auto& [name, kind] : kinds) {
    const auto metadata = parse_inspection(
        std::string(R"({"error":"unknown architecture","architecture":"clip","kind":")") + name + "\"}");
    ASSERT_TRUE(metadata.has_value()) << name;
    EXPECT_EQ(metadata->kind, kind);
    EXPECT_EQ(metadata->architecture, "clip");
  }
  EXPECT_FALSE(parse_inspection(R"({"error":"damaged","kind":"model"})").has_value());
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
