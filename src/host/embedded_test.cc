// The embedded library with an engine that answers when the test wants it to (tests/fakes/fake_engine.cc).
#include "minerva/host/embedded.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <future>
#include <thread>

namespace minerva {
namespace {

namespace fs = std::filesystem;

class EmbeddedTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "embedded-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = fs::canonical(pattern);
    std::ofstream(folder_ / "m.gguf") << "0 1";  // milliseconds until an answer, MiB
    EmbeddedModels::Options options;
    options.engine = FAKE_ENGINE;
    options.models_dirs = {folder_.string()};
    auto opened = EmbeddedModels::open(options);
    ASSERT_TRUE(opened.has_value());
    models_ = *std::move(opened);
  }
  void TearDown() override {
    models_.reset();
    fs::remove_all(folder_);
  }

  fs::path folder_;
  std::unique_ptr<EmbeddedModels> models_;
};

TEST_F(EmbeddedTest, AnswersAndEnds) {
  ASSERT_TRUE(models_->load_model("m", "m.gguf").has_value());
  const auto answer = models_->ask("m", "/v1/completions", "{}");
  ASSERT_TRUE(answer.has_value()) << answer.error().message;
  EXPECT_EQ(*answer, "{\"object\":\"fake\"}");
}

TEST_F(EmbeddedTest, DoesNotWaitForAnAnswerThatNeverEnds) {
  ASSERT_TRUE(models_->load_model("m", "m.gguf").has_value());
  auto answer =
      std::async(std::launch::async, [&] { return models_->ask("m", "/v1/completions", "{\"stream\": true}"); });
  while (models_->cache_stats().hits == 0) std::this_thread::yield();  // until the request has its engine
  models_.reset();
  const Result<std::string> result = answer.get();
  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, ErrorCode::kDraining) << result.error().message;
}

}  // namespace
}  // namespace minerva
