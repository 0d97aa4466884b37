#include "engine/engine_arguments.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace minerva {
namespace {

ModelSpec spec_of(unsigned parallel) {
  ModelSpec spec;
  spec.id = "m";
  spec.path = "/m.gguf";
  spec.parallel = parallel;
  return spec;
}

// The value behind the last `name`; "" if there is none.
std::string value_of(const std::vector<std::string>& arguments, std::string_view name) {
  const auto it = std::find(arguments.rbegin(), arguments.rend(), name);
  return it == arguments.rend() || it == arguments.rbegin() ? "" : *(it - 1);
}

bool has(const std::vector<std::string>& arguments, std::string_view name) {
  return std::find(arguments.begin(), arguments.end(), name) != arguments.end();
}

TEST(EngineArguments, ContextIsPerConversation) {
  EXPECT_EQ(value_of(engine_arguments(spec_of(4), nullptr, {}), "-c"), "32768");
  ModelMetadata small;
  small.trained_context = 2048;
  EXPECT_EQ(value_of(engine_arguments(spec_of(4), &small, {}), "-c"), "8192");
  ModelMetadata large;
  large.trained_context = 131072;
  EXPECT_EQ(value_of(engine_arguments(spec_of(1), &large, {}), "-c"), "8192");
  ModelSpec set = spec_of(2);
  set.context = 16384;
  EXPECT_EQ(value_of(engine_arguments(set, &small, {}), "-c"), "32768");
  set.context = 4000000000U;
  set.parallel = 256;
  EXPECT_EQ(value_of(engine_arguments(set, nullptr, {}), "-c"), "1024000000000");
}

TEST(EngineArguments, WhatGaveWayIsLower) {
  ModelSpec spec = spec_of(2);
  spec.parallel.reset();
  spec.reduction = {.prompt_cache = Bytes::mib(31), .checkpoints = 1, .mapped = true, .parallel = 1, .context = 2048};
  const auto arguments = engine_arguments(spec, nullptr, {});
  EXPECT_EQ(value_of(arguments, "-c"), "2048");
  EXPECT_EQ(value_of(arguments, "-np"), "1");
  EXPECT_EQ(value_of(arguments, "--cache-ram"), "31");
  EXPECT_EQ(value_of(arguments, "--ctx-checkpoints"), "1");
  EXPECT_TRUE(has(arguments, "--no-repack"));
  spec.reduction = {};
  EXPECT_EQ(value_of(engine_arguments(spec, nullptr, {}), "-np"), "2");
  EXPECT_FALSE(has(engine_arguments(spec, nullptr, {}), "--no-repack"));
}

TEST(EngineArguments, NoModelIsHiddenFromTheWebUi) {
  const auto arguments = engine_arguments(spec_of(1), nullptr, {});
  EXPECT_FALSE(has(arguments, "--no-ui"));
  EXPECT_FALSE(has(arguments, "--no-webui"));
}

TEST(EngineArguments, MetadataChoosesTheModeOfServing) {
  ModelMetadata chat;
  chat.trained_context = 512;
  chat.can_generate = true;
  EXPECT_FALSE(has(engine_arguments(spec_of(1), &chat, {}), "--embeddings"));
  EXPECT_EQ(value_of(engine_arguments(spec_of(1), &chat, {}), "-b"), "256");
  ModelMetadata embedding;
  embedding.trained_context = 512;
  embedding.can_embed = true;
  const auto arguments = engine_arguments(spec_of(1), &embedding, {});
  EXPECT_TRUE(has(arguments, "--embeddings"));
  EXPECT_EQ(value_of(arguments, "-ub"), "512");
  EXPECT_EQ(value_of(arguments, "-b"), "512");
  EXPECT_EQ(value_of(engine_arguments(spec_of(3), &embedding, {}), "-ub"), "513") << "a multiple of three";
  embedding.can_rerank = true;
  EXPECT_TRUE(has(engine_arguments(spec_of(1), &embedding, {}), "--reranking"));
  EXPECT_FALSE(has(engine_arguments(spec_of(1), &embedding, {}), "--embeddings"));
}

TEST(EngineArguments, WeightsProjectorThreadsAndOwnArguments) {
  ModelSpec spec = spec_of(1);
  EXPECT_FALSE(has(engine_arguments(spec, nullptr, {}), "--no-repack"));
  spec.weights = WeightsMode::kMapped;
  spec.mmproj = "/mmproj.gguf";
  spec.args = {"-b", "64"};
  EngineDefaults defaults;
  defaults.threads = 3;
  const auto arguments = engine_arguments(spec, nullptr, defaults);
  EXPECT_TRUE(has(arguments, "--no-repack"));
  EXPECT_EQ(value_of(arguments, "--mmproj"), "/mmproj.gguf");
  EXPECT_EQ(value_of(arguments, "-t"), "3");
  EXPECT_EQ(value_of(arguments, "-b"), "64") << "the model's own arguments come last";
}

}  // namespace
}  // namespace minerva
