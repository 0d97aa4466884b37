#include "engine/user_arguments.h"

#include <gtest/gtest.h>

namespace minerva {
namespace {

using Args = std::vector<std::string>;

TEST(UserArguments, WhatBelongsToMinervaIsRefused) {
  for (const std::string argument : {"--host",
                                     "--port",
                                     "--port=1",
                                     "--api-key",
                                     "--api-key-file",
                                     "--ssl-key-file",
                                     "--tools",
                                     "-hf",
                                     "-hfr",
                                     "--hf-repo",
                                     "-hft",
                                     "--models-dir",
                                     "--models_dir",
                                     "--path",
                                     "--api-prefix",
                                     "-m",
                                     "--model",
                                     "-mu",
                                     "--mmproj",
                                     "--mmproj-url",
                                     "-mm",
                                     "-c",
                                     "--ctx-size",
                                     "--ctx_size",
                                     "-np",
                                     "--parallel",
                                     "-fit",
                                     "--alias",
                                     "--no-slots",
                                     "--log-file",
                                     "-h",
                                     "--no-repack",
                                     "-lcd",
                                     "--props",
                                     "--gpt-oss-20b-default",
                                     "--fim-qwen-7b-spec",
                                     "--media-path",
                                     "--agent",
                                     "--offline=1",
                                     "--slot_save-path",
                                     "--mcp-servers-config"}) {
    const auto checked = check_user_arguments({"--temp", "0.7", argument, "1"});
    ASSERT_FALSE(checked.has_value()) << argument;
    EXPECT_EQ(checked.error().code, ErrorCode::kInvalidArgument);
    EXPECT_NE(checked.error().message.find('"' + argument + "\" is not allowed"), std::string::npos)
        << checked.error().message;
  }
}

TEST(UserArguments, WhatBelongsToTheUserIsPassed) {
  EXPECT_TRUE(check_user_arguments({}).has_value());
  const auto checked = check_user_arguments({"--temp",
                                             "0.7",
                                             "-ctk",
                                             "q8_0",
                                             "-t",
                                             "4",
                                             "--chat-template",
                                             "chatml",
                                             "-n",
                                             "-1",
                                             "--model-draft",
                                             "/d.gguf",
                                             "--spec-default",
                                             "-ctxcp",
                                             "2",
                                             "--pooling",
                                             "mean",
                                             "--embeddings",
                                             "-b",
                                             "128",
                                             "--cache-ram",
                                             "0",
                                             "--top_k",
                                             "7",
                                             "--no-mmproj-offload",
                                             "--control-vector-layer-range",
                                             "1",
                                             "2"});
  EXPECT_TRUE(checked.has_value()) << checked.error().message;
  EXPECT_FALSE(check_user_arguments({std::string("a\0b", 3)}).has_value());
}

TEST(UserArguments, AValueIsNoArgument) {
  // llama.cpp reads what follows a name as its value, whatever it looks like.
  EXPECT_TRUE(check_user_arguments({"--grammar", "--host"}).has_value());
  EXPECT_FALSE(check_user_arguments({"--grammar", "--temp", "--host", "x"}).has_value());
  EXPECT_FALSE(check_user_arguments({"--jinja", "--host", "x"}).has_value());
}

TEST(UserArguments, OnlyWhatTheEngineTakesAsWritten) {
  const std::vector<std::pair<Args, std::string>> cases = {
      {{"--temp=0.7"}, "two elements"},
      {{"--temperatur", "0.7"}, "not among the arguments"},
      {{"-T", "1"}, "not among the arguments"},
      {{"0.7"}, "no argument before it takes it"},
      {{"--temp", "0.7", "0.8"}, "no argument before it takes it"},
      {{"--temp"}, "\"--temp\" lacks its value"},
      {{"--control-vector-layer-range", "1"}, "lacks its two values"},
      {{""}, "no argument before it takes it"},
  };
  for (const auto& [args, words] : cases) {
    const auto checked = check_user_arguments(args);
    ASSERT_FALSE(checked.has_value()) << args.front();
    EXPECT_NE(checked.error().message.find(words), std::string::npos) << checked.error().message;
  }
}

Result<std::string> in_models(const std::string& file) {
  if (file.starts_with('/')) return fail(ErrorCode::kModelNotFound, "outside");
  return "/models/" + file;
}

TEST(UserArguments, FilesAreFoundAndPlaced) {
  const auto placed =
      place_argument_files({"--temp", "0", "-md", "draft.gguf", "--lora", "a.gguf,b.gguf", "--lora_scaled",
                            "c.gguf:0.5,d.gguf:-1", "--chat-template", "/x", "--chat-template-file", "t.jinja"},
                           in_models);
  ASSERT_TRUE(placed.has_value()) << placed.error().message;
  EXPECT_EQ(placed->args, (Args{"--temp", "0", "-md", "/models/draft.gguf", "--lora", "/models/a.gguf,/models/b.gguf",
                                "--lora_scaled", "/models/c.gguf:0.5,/models/d.gguf:-1", "--chat-template", "/x",
                                "--chat-template-file", "/models/t.jinja"}));
  EXPECT_EQ(placed->files, (Args{"/models/draft.gguf", "/models/a.gguf", "/models/b.gguf", "/models/c.gguf",
                                 "/models/d.gguf", "/models/t.jinja"}));
}

TEST(UserArguments, AFileThatMayNotBeUsedIsNamed) {
  for (const auto& [args, words] : std::vector<std::pair<Args, std::string>>{
           {{"--grammar-file", "/etc/shadow"}, "--grammar-file /etc/shadow: outside"},
           {{"--lora", "a.gguf,/etc/shadow"}, "--lora a.gguf,/etc/shadow: outside"},
           {{"--lora-scaled", "a.gguf"}, "lacks its scale"},
           {{"--lora", "\"a"}, "comma, a colon or a quote"},
           {{"--lora", "a:b.gguf"}, "comma, a colon or a quote"}}) {
    const auto placed = place_argument_files(args, in_models);
    ASSERT_FALSE(placed.has_value()) << args.back();
    EXPECT_NE(placed.error().message.find(words), std::string::npos) << placed.error().message;
  }
}

}  // namespace
}  // namespace minerva
