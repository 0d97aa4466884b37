#include "api/needs.h"

#include <gtest/gtest.h>

#include <string>

namespace minerva::api {
namespace {

TEST(WorkOf, ARouteWithAndWithoutItsVersionAndSlashes) {
  for (const char* path : {"/v1/chat/completions", "/chat/completions", "/v1/chat/completions/", "/v/chat/completions",
                           "/v1/messages", "/v1/responses", "/responses//"}) {
    EXPECT_EQ(work_of(path), Work::kChat) << path;
  }
  for (const char* path : {"/v1/messages/count_tokens", "/v1/chat/completions/input_tokens", "/apply-template"}) {
    EXPECT_EQ(work_of(path), Work::kTemplate) << path;
  }
  for (const char* path : {"/v1/completions", "/completions", "/completion"}) {
    EXPECT_EQ(work_of(path), Work::kComplete) << path;
  }
  EXPECT_EQ(work_of("/infill"), Work::kInfill);
  EXPECT_EQ(work_of("/v1/embeddings"), Work::kEmbed);
  EXPECT_EQ(work_of("/embeddings"), Work::kEmbedRaw);
  EXPECT_EQ(work_of("/embedding"), Work::kEmbedRaw);
  for (const char* path : {"/v1/rerank", "/rerank", "/v1/reranking", "/reranking"}) {
    EXPECT_EQ(work_of(path), Work::kRerank) << path;
  }
  EXPECT_EQ(work_of("/v1/audio/transcriptions"), Work::kTranscribe);
  for (const char* path : {"", "/", "/tokenize", "/detokenize", "/props", "/slots", "/v1/models", "/v1chat/completions",
                           "/lora-adapters", "/v1/chat/completions/control"}) {
    EXPECT_EQ(work_of(path), Work::kAny) << path;
  }
}

Media image(std::string_view member) { return {Media::Kind::kImage, member}; }

TEST(FindMedia, InEachApisShape) {
  EXPECT_EQ(find_media(R"({"messages":[{"role":"user","content":[{"type":"text","text":"x"},
                           {"type":"image_url","image_url":{"url":"data:..."}}]}]})"),
            image("messages"));
  EXPECT_EQ(find_media(R"({"messages":[{"content":[{"input_audio":{"data":"..."},"type":"input_audio"}]}]})"),
            (Media{Media::Kind::kAudio, "messages"}));
  EXPECT_EQ(find_media(R"({"messages":[{"content":[{"type":"video_url"}]}]})"),
            (Media{Media::Kind::kVideo, "messages"}));
  // Responses: a part of a message, an item by itself, and the result of a tool.
  EXPECT_EQ(find_media(R"({"input":[{"role":"user","content":[{"type":"input_image","image_url":"data:..."}]}]})"),
            image("input"));
  EXPECT_EQ(find_media(R"({"input":[{"type":"input_image"}]})"), image("input"));
  EXPECT_EQ(find_media(R"({"input":[{"type":"function_call_output","output":[{"type":"input_image"}]}]})"),
            image("input"));
  // Anthropic: a part of a message, and the result of a tool.
  EXPECT_EQ(find_media(R"({"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64"}}]}]})"),
            image("messages"));
  EXPECT_EQ(find_media(R"({"messages":[{"content":[{"type":"tool_result","content":[{"type":"image"}]}]}]})"),
            image("messages"));
  // Files.
  const auto document = [](std::string_view member) { return Media{Media::Kind::kDocument, member}; };
  EXPECT_EQ(find_media(R"({"messages":[{"content":[{"type":"document","source":{"type":"text","data":"x"}}]}]})"),
            document("messages"));
  EXPECT_EQ(find_media(R"({"messages":[{"content":[{"type":"file","file":{"file_id":"x"}}]}]})"), document("messages"));
  EXPECT_EQ(find_media(R"({"input":[{"role":"user","content":[{"type":"input_file","file_id":"x"}]}]})"),
            document("input"));
  // llama.cpp's own prompts.
  EXPECT_EQ(find_media(R"({"prompt":{"prompt_string":"<__media__>","multimodal_data":["aGk="]}})"), image("prompt"));
  EXPECT_EQ(find_media(R"({"prompt":["x",{"prompt_string":"<__media__>","multimodal_data":["aGk="]}]})"),
            image("prompt"));
}

TEST(FindMedia, NotWhereTheWordsAreSomethingElse) {
  const char* const bodies[] = {
      "",
      "{}",
      R"({"messages":[{"role":"user","content":"What is an \"image_url\"?"}]})",
      R"({"messages":[{"role":"user","content":"image_url"}]})",
      R"({"messages":[{"role":"user","content":[{"type":"text","text":"image"}]}]})",
      // The schema of a tool, and the arguments of a call.
      R"({"tools":[{"type":"function","function":{"parameters":{"anyOf":[{"type":"image"}]}}}],"messages":[]})",
      R"({"messages":[{"content":[{"type":"tool_use","input":{"parts":[{"type":"image"}],"content":[1]}}]}]})",
      R"({"metadata":[{"type":"image"}],"messages":[]})",
      R"({"prompt":{"prompt_string":"x","multimodal_data":[]}})",
      R"([{"type":"image"}])",
      R"("image")",
      // A broken body: the engine says so.
      R"({"messages":[{"content":[{"type":)",
      R"({"messages":[}}"image")",
  };
  for (const char* body : bodies) EXPECT_EQ(find_media(body), std::nullopt) << body;
}

TEST(FindMedia, OfKindsThatAreNotTaken) {
  const MediaKinds seen = {Media::Kind::kImage, Media::Kind::kVideo};
  const std::string_view both = R"({"messages":[{"content":[{"type":"image_url"},{"type":"input_audio"}]}]})";
  EXPECT_EQ(find_media(both, seen), (Media{Media::Kind::kAudio, "messages"}));
  EXPECT_EQ(find_media(both, {Media::Kind::kAudio}), image("messages"));
  EXPECT_EQ(find_media(R"({"messages":[{"content":[{"type":"image_url"}]}]})", seen), std::nullopt);
  EXPECT_EQ(find_media(R"({"prompt":{"prompt_string":"<__media__>","multimodal_data":["aGk="]}})", seen), std::nullopt);
}

TEST(FindMedia, NestingIsBounded) {
  std::string body = R"({"messages":)" + std::string(1'000'000, '[') + R"({"type":"image"})";
  EXPECT_EQ(find_media(body), std::nullopt);
}

}  // namespace
}  // namespace minerva::api
