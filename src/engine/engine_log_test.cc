#include <gtest/gtest.h>

#include "engine/engine.h"

namespace minerva {
namespace {

TEST(EngineLog, TailIsTheNewestLinesOldestFirst) {
  EngineLog log;
  for (int i = 0; i < 2500; ++i) log.append(std::to_string(i));
  EXPECT_EQ(log.tail(3), (std::vector<std::string>{"2497", "2498", "2499"}));
  const auto all = log.tail(100000);
  ASSERT_EQ(all.size(), 1000U);
  EXPECT_EQ(all.front(), "1500");
  EXPECT_TRUE(log.tail(0).empty());
}

TEST(EngineLog, LongLinesAreCut) {
  EngineLog log;
  log.append(std::string(100000, 'x'));
  EXPECT_EQ(log.tail(1).front().size(), 2000U);
}

TEST(EngineLog, LastWordsNameTheCauseNotItsEchoes) {
  EngineLog log;
  EXPECT_EQ(log.last_words(), "");
  log.append("0.00.005.563 I srv    load_model: loading model 'trunc.gguf'");
  EXPECT_EQ(log.last_words(), "srv    load_model: loading model 'trunc.gguf'");
  log.append("0.00.017.830 E llama_model_load: error loading model: tensor 'x' data is not within the file bounds");
  log.append("0.00.017.856 E llama_model_load_from_file_impl: failed to load model");
  log.append("0.00.017.865 I srv    operator(): operator(): cleaning up before exit...");
  log.append("0.00.018.361 E srv  llama_server: exiting due to model loading error");
  EXPECT_EQ(log.last_words(), "llama_model_load: error loading model: tensor 'x' data is not within the file bounds");
}

TEST(EngineLog, LastWordsOfAnAssertion) {
  EngineLog log;
  log.append("/src/ggml.c:1250: GGML_ASSERT(ggml_can_mul_mat(a, b)) failed");
  log.append("/lib/libc.so.6(+0x3c050)");
  EXPECT_EQ(log.last_words(), "/src/ggml.c:1250: GGML_ASSERT(ggml_can_mul_mat(a, b)) failed");
}

TEST(EngineLog, LastWordsFallBackToAnEcho) {
  EngineLog log;
  log.append("0.00.018.361 E srv  llama_server: exiting due to HTTP server error");
  log.append("0.00.018.362 I bye");
  EXPECT_EQ(log.last_words(), "srv  llama_server: exiting due to HTTP server error");
}

TEST(EngineLog, FollowersHearUntilTheyLetGo) {
  EngineLog log;
  std::vector<std::string> heard;
  auto following = log.follow([&](std::string_view line) { heard.emplace_back(line); });
  log.append("a");
  following.reset();
  log.append("b");
  EXPECT_EQ(heard, std::vector<std::string>{"a"});
}

TEST(EngineLog, AFollowerMayLetGoInsideItsCall) {
  EngineLog log;
  int calls = 0;
  std::shared_ptr<void> following = log.follow([&](std::string_view) {
    ++calls;
    following.reset();
  });
  log.append("a");
  log.append("b");
  EXPECT_EQ(calls, 1);
}

}  // namespace
}  // namespace minerva
