#include "config/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

class ConfigFile : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::temp_directory_path() / ("minerva-config-" + std::to_string(::getpid()));
    std::filesystem::create_directories(folder_);
    path_ = folder_ / "minerva.toml";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Result<Config> load(const std::string& text, const Settings& environment = {}, const Settings& flags = {}) {
    std::ofstream(path_) << text;
    return load_config(path_, environment, flags);
  }
  // The message without the folder.
  std::string error(const std::string& text) {
    const auto config = load(text);
    if (config) return "no error";
    const std::string& message = config.error().message;
    return message.starts_with(path_) ? message.substr(folder_.string().size() + 1) : message;
  }

  std::filesystem::path folder_;
  std::string path_;
};

TEST_F(ConfigFile, ReadsEverySection) {
  const auto config = load(R"(
listen = "127.0.0.1:4000"
models_dirs = ["/a", "/b"]
memory_budget = "2GiB"
max_models = 3
policy = "lfu"

[limits]
max_body = "1MiB"
idle_timeout = "500ms"

[queue]
max_wait = "2m"

[model."org/x"]
path = "x.gguf"
aliases = ["gpt-4o-mini"]
context = 4096
parallel = 4
pin = true
preload = "eager"
weights = "mapped"
args = ["--temp", "0.7"]
)");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->listen.port, 4000);
  EXPECT_EQ(config->models_dirs, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(config->memory_budget.bytes, Bytes::gib(2));
  EXPECT_EQ(config->max_models, 3u);
  EXPECT_EQ(config->policy, "lfu");
  EXPECT_EQ(config->max_body, Bytes::mib(1));
  EXPECT_EQ(config->http.idle_timeout, std::chrono::milliseconds(500));
  EXPECT_EQ(config->max_wait, std::chrono::minutes(2));
  ASSERT_EQ(config->models.size(), 1u);
  const ModelEntry expected{
      "org/x",          "x.gguf", {"gpt-4o-mini"}, 4096, 4, true, PreloadStrategy::kEager, WeightsMode::kMapped,
      {"--temp", "0.7"}};
  EXPECT_EQ(config->models[0], expected);
}

TEST_F(ConfigFile, ErrorsSayWhere) {
  EXPECT_TRUE(error("listen = 3").starts_with("minerva.toml:1:10: listen: expected a text, got an integer"));
  EXPECT_TRUE(error("\nmax_modells = 3").starts_with("minerva.toml:2:15: unknown key \"max_modells\""));
  EXPECT_TRUE(error("max_models = -1").starts_with("minerva.toml:1:14: max_models: expected a whole number"));
  EXPECT_TRUE(error("[queue]\nmax_wait = \"5\"").starts_with("minerva.toml:2:12: queue.max_wait: expected a duration"));
  EXPECT_TRUE(error("[model.\"x\"]\ncontext = \"a\"").starts_with("minerva.toml:2:11: context: expected an integer"));
  EXPECT_TRUE(error("[model.\"x\"]\nttl = \"30m\"").starts_with("minerva.toml:2:7: \"ttl\" is not supported yet"));
  EXPECT_TRUE(error("[model.\"stats\"]\n").starts_with("minerva.toml:1:1: \"stats\" cannot be a model's id"));
  EXPECT_TRUE(error("[model.\"x\"]\nargs = [\"--port\", \"1\"]").starts_with("minerva.toml:2:8: args: "));
  EXPECT_TRUE(error("listen = ").starts_with("minerva.toml:1:"));
  EXPECT_NE(error("policy = \"mru\"").find("lru"), std::string::npos);
  EXPECT_NE(error("listen = \"0.0.0.0:1\"").find("API keys"), std::string::npos);
}

TEST_F(ConfigFile, AnAliasHasOneOwner) {
  EXPECT_NE(error("[model.\"a\"]\naliases = [\"b\"]\n[model.\"b\"]\n").find("already a name"), std::string::npos);
}

TEST_F(ConfigFile, FlagsBeforeEnvironmentBeforeFile) {
  const std::string file = "max_models = 1\nmodels_dirs = [\"/file\"]\npolicy = \"lfu\"";
  auto config = load(file, {{"max_models", "2"}, {"models_dirs", "/environment"}}, {{"max_models", "3"}});
  ASSERT_TRUE(config.has_value());
  EXPECT_EQ(config->max_models, 3u);
  EXPECT_EQ(config->models_dirs, std::vector<std::string>{"/environment"});
  EXPECT_EQ(config->policy, "lfu");
  config = load(file, {}, {{"models_dirs", "/a"}, {"models_dirs", "/b"}});
  EXPECT_EQ(config->models_dirs, (std::vector<std::string>{"/a", "/b"})) << "a repeatable flag";
}

TEST_F(ConfigFile, WhatIsDescribedReadsBackTheSame) {
  const auto config = load("memory_budget = \"37.5%\"\n[limits]\nallowed_hosts = [\"box\"]\n[model.\"a b\"]\n");
  EXPECT_FALSE(config.has_value()) << "an id with a space";
  const auto first = load(
      "memory_budget = \"37.5%\"\n[limits]\nallowed_hosts = [\"box\"]\nstop_grace=\"1500ms\"\n"
      "[model.\"a\"]\npin = true\nargs = [\"--temp\", \"0.5\"]");
  ASSERT_TRUE(first.has_value()) << first.error().message;
  const std::string text = describe_config(*first);
  const auto second = load(text);
  ASSERT_TRUE(second.has_value()) << second.error().message << "\n" << text;
  EXPECT_EQ(describe_config(*second), text);
  EXPECT_EQ(second->stop_grace, std::chrono::milliseconds(1500));
  EXPECT_EQ(second->models, first->models);
  for (const ConfigKey& key : config_keys()) EXPECT_FALSE(key.meaning.empty()) << key.name;
}

TEST(Config, TheEnvironmentNamesEveryKey) {
  const auto settings = settings_from_environment({"PATH=/bin", "MINERVA_URL=x", "MINERVA_MAX_MODELS=2",
                                                   "MINERVA_MODELS_DIR=/a:/b", "MINERVA_LIMITS_MAX_BODY=1MiB"});
  ASSERT_TRUE(settings.has_value());
  EXPECT_EQ(*settings,
            (Settings{{"max_models", "2"}, {"models_dirs", "/a"}, {"models_dirs", "/b"}, {"limits.max_body", "1MiB"}}));
  const auto unknown = settings_from_environment({"MINERVA_MAX_MODELLS=2"});
  ASSERT_FALSE(unknown.has_value());
  EXPECT_TRUE(unknown.error().message.starts_with("environment MINERVA_MAX_MODELLS"));
  const auto bad = load_config("", {{"max_models", "x"}}, {});
  ASSERT_FALSE(bad.has_value());
  EXPECT_TRUE(bad.error().message.starts_with("environment MINERVA_MAX_MODELS: "));
}

TEST(Config, ABudgetOfBytesIsTakenAsItIs) {
  BudgetSetting setting;
  setting.bytes = Bytes::gib(3);
  EXPECT_EQ(resolve_budget(setting), Bytes::gib(3));
  BudgetSetting half;
  half.percent = 50;
  BudgetSetting whole;
  whole.percent = 100;
  EXPECT_GT(resolve_budget(half).count(), 0u);
  EXPECT_NEAR(static_cast<double>(resolve_budget(half).count()) * 2, static_cast<double>(resolve_budget(whole).count()),
              4);
}

}  // namespace
}  // namespace minerva
