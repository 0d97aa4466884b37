#include "config/config.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>

namespace minerva {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

class ConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "config-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = fs::canonical(pattern);
    file_ = (folder_ / "minerva.toml").string();
  }
  void TearDown() override { fs::remove_all(folder_); }

  Result<Config> load(const std::string& text, const Settings& environment = {}, const Settings& flags = {}) {
    std::ofstream(file_, std::ios::trunc) << text;
    return load_config(file_, environment, flags);
  }

  // The error's message, without the folder of the file.
  std::string error(const std::string& text) {
    const auto config = load(text);
    if (config) return "no error";
    EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
    const std::string& message = config.error().message;
    return message.starts_with(folder_.string()) ? message.substr(folder_.string().size() + 1) : message;
  }

  void expect_error(const std::string& text, const std::string& start, const std::string& words = "") {
    const std::string message = error(text);
    EXPECT_TRUE(message.starts_with(start)) << text << "\n" << message;
    EXPECT_NE(message.find(words), std::string::npos) << text << "\n" << message;
  }

  fs::path folder_;
  std::string file_;
};

// Fuzzing found this: the parser asserts what a file should hold.
TEST_F(ConfigTest, AMalformedArrayIsAnErrorAndNotTheEnd) {
  expect_error("x = [1, }\n", "minerva.toml:1:1: ", "value");
  expect_error("# first\n\na.b = {d = [1, }x]}\n[later]\n", "minerva.toml:3:1: ", "value");
}

// Fuzzing found this: undefined behaviour in the parser's tables of characters.
TEST_F(ConfigTest, ALetterThatNeedsQuotesIsAnErrorWithAPlace) {
  expect_error("\n\u00e9 = 1\n", "minerva.toml:2:1: ");
  expect_error("\u3042 = 1\n", "minerva.toml:1:1: ");
  expect_error("[p\ufedfr]\n", "minerva.toml:1:3: ", "quotes");
  expect_error("policy = \"lru\" # \u00e9\nlog_level = info\u00e9\n", "minerva.toml:2:17: ");
  expect_error("\"\u00e9\u00e9\" = 1; \u00e9\n", "minerva.toml:1:11: ");
  // At the end of the quotes.
  expect_error("time_zone = \"\"\"x\"\"\"\"\"\u00e9\n", "minerva.toml:1:22: ");
  expect_error("time_zone = '''x\\'''\u00e9\n", "minerva.toml:1:21: ");
  expect_error("time_zone = \"x\\\"\"\u00e9\n", "minerva.toml:1:18: ");
  // Right behind a removed line's end, and where such an end could be.
  expect_error("time_zone = \"\"\"x\\\n  \u00e9\"\"\"\n", "minerva.toml:2:3: ", "\\u");
  expect_error("time_zone = \"\"\"\\\u00e9\"\"\"\n", "minerva.toml:1:17: ");
}

TEST_F(ConfigTest, LettersOfAllKindsInQuotesAndComments) {
  const auto config = load(
      "\xef\xbb\xbf# \u00e9 \"\nmodels_dirs = [\"/\u00e9\", '/\u3042\\', \"\"\"/\ufedf\"\\\n  x\u00e9\"\"\", "
      "'''/'\u00e9''']\n"
      "[model.\"\u00e9\"]\n");
  ASSERT_FALSE(config.has_value());
  EXPECT_NE(config.error().message.find("cannot be a model's name"), std::string::npos) << config.error().message;
  const auto folders = load(
      "\xef\xbb\xbf# \u00e9 \"\nmodels_dirs = [\"/\u00e9\", '/\u3042\\', \"\"\"/\ufedf\"\\\n  x\u00e9\"\"\", "
      "'''/'\u00e9''']\n");
  ASSERT_TRUE(folders.has_value()) << folders.error().message;
  EXPECT_EQ(folders->models_dirs, (std::vector<std::string>{"/\u00e9", "/\u3042\\", "/\ufedf\"x\u00e9", "/'\u00e9"}));
}

TEST_F(ConfigTest, DefaultsAreThoseOfTheContract) {
  ::setenv("HOME", "/home/someone", 1);
  for (const char* const name :
       {"XDG_STATE_HOME", "XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"}) {
    ::unsetenv(name);
  }
  const auto config = load_config("", {}, {});
  ASSERT_TRUE(config.has_value()) << config.error().message;
  ASSERT_EQ(config->listen.size(), 2U);
  EXPECT_EQ(config->listen[0].text(), "127.0.0.1:3000");
  EXPECT_EQ(config->listen[1].text(), "[::1]:3000");
  EXPECT_EQ(config->models_dirs,
            (std::vector<std::string>{"/home/someone/models", "/home/someone/.cache/huggingface/hub"}));
  EXPECT_TRUE(config->models_dirs_are_default);
  EXPECT_EQ(config->memory_budget.percent, 80);
  EXPECT_EQ(config->memory_budget.bytes, Bytes(0));
  EXPECT_EQ(config->max_models, 0U);
  EXPECT_EQ(config->policy, "hazard");
  EXPECT_EQ(config->state_dir, "/home/someone/.local/state/minerva");
  EXPECT_EQ(fs::path(config->engine).filename(), "minerva-engine");
  EXPECT_TRUE(fs::path(config->engine).is_absolute());
  ::setenv("XDG_STATE_HOME", "/state", 1);
  EXPECT_EQ(load_config("", {}, {})->state_dir, "/state/minerva");
  ::unsetenv("XDG_STATE_HOME");
}

TEST_F(ConfigTest, TheHubsFolderIsWhereItsToolsLookForIt) {
  ::setenv("HOME", "/home/someone", 1);
  // In the order of precedence.
  const std::pair<const char*, const char*> places[] = {{"XDG_CACHE_HOME", "/a/huggingface/hub"},
                                                        {"HF_HOME", "/a/hub"},
                                                        {"HUGGINGFACE_HUB_CACHE", "/a"},
                                                        {"HF_HUB_CACHE", "/a"},
                                                        {"LLAMA_CACHE", "/a"}};
  for (const auto& [variable, folder] : places) {
    ::setenv(variable, "/a", 1);
    EXPECT_EQ(load_config("", {}, {})->models_dirs.back(), folder) << variable;
  }
  const auto named = load_config("", {}, {{"models_dirs", "/m"}});
  EXPECT_EQ(named->models_dirs, std::vector<std::string>{"/m"});
  EXPECT_FALSE(named->models_dirs_are_default);
  for (const auto& [variable, folder] : places) ::unsetenv(variable);
}

TEST_F(ConfigTest, WhatIsPulledGoesIntoTheHubsFolderIfModelsAreLookedForThere) {
  ::setenv("HF_HUB_CACHE", "/hub", 1);
  EXPECT_EQ(load_config("", {}, {})->pull_folder, "/hub");
  EXPECT_EQ(load_config("", {}, {{"models_dirs", "/m"}, {"models_dirs", "/hub"}})->pull_folder, "/hub");
  EXPECT_EQ(load_config("", {}, {{"models_dirs", "/m"}, {"models_dirs", "/n"}})->pull_folder, "/m");
  ::unsetenv("HF_HUB_CACHE");
}

TEST_F(ConfigTest, HostsToPullFromAreNames) {
  EXPECT_EQ(load("[pull]\nhosts = [\"*\"]\n")->pull_hosts, std::vector<std::string>{"*"});
  for (const char* const host : {"https://host", "host/path", "*host", "a b", ""}) {
    EXPECT_FALSE(load(fmt::format("[pull]\nhosts = [\"{}\"]\n", host))) << host;
  }
}

TEST_F(ConfigTest, WhatIsUnknownIsRefusedUnlessToldOtherwise) {
  expect_error("unknown_model = \"any\"\n", "minerva.toml:1:", "unknown_model");
  const auto config = load("default_model = \"a\"\nunknown_model = \"default\"\n");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->default_model, "a");
  EXPECT_EQ(config->unknown_model, "default");
  EXPECT_EQ(Config().unknown_model, "refuse");
}

TEST_F(ConfigTest, ReadsTheContractsExample) {
  const auto config = load(R"(
listen = "127.0.0.1:3000"
models_dirs = ["models", "/m"]
memory_budget = "12GiB"
max_models = 3
policy = "lfu"

[model."llama-7b"]
path = "llama-7b.Q4_K_M.gguf"
aliases = ["gpt-4o-mini"]
context = 8192
parallel = 4
pin = false
preload = "eager"
weights = "mapped"
args = ["--temp", "0.7"]
)");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->models_dirs, (std::vector<std::string>{(folder_ / "models").string(), "/m"}));
  EXPECT_EQ(config->memory_budget.bytes, Bytes::gib(12));
  EXPECT_EQ(config->max_models, 3U);
  EXPECT_EQ(config->policy, "lfu");
  ASSERT_EQ(config->models.size(), 1U);
  const ModelEntry expected = {.id = "llama-7b",
                               .path = "llama-7b.Q4_K_M.gguf",
                               .aliases = {"gpt-4o-mini"},
                               .context = 8192,
                               .parallel = 4,
                               .pinned = false,
                               .preload = PreloadStrategy::kEager,
                               .weights = WeightsMode::kMapped,
                               .args = {"--temp", "0.7"}};
  EXPECT_EQ(config->models[0], expected);
}

TEST_F(ConfigTest, ErrorsSayWhere) {
  expect_error("max_models = 1\nmax_modles = 2\n", "minerva.toml:2:1: unknown key \"max_modles\"", "max_models");
  expect_error("[limits]\n  max_bdy = 1\n", "minerva.toml:2:3: unknown key \"max_bdy\"", "max_body");
  expect_error("[nonsense]\nx = 1\n", "minerva.toml:1:2: unknown key \"nonsense\"");
  expect_error("[model.a]\nx = 1\n", "minerva.toml:2:1: unknown key \"x\"", "parallel");
  expect_error("max_models = \"2\"\n", "minerva.toml:1:14: \"max_models\" must be a whole number");
  expect_error("max_models = 1.5\n", "minerva.toml:1:14: \"max_models\" must be a whole number");
  expect_error("max_models = -1\n", "minerva.toml:1:14: max_models: ");
  expect_error("policy = 7\n", "minerva.toml:1:10: \"policy\" must be text");
  expect_error("models_dirs = \"x\"\n", "minerva.toml:1:15: \"models_dirs\" must be a list");
  expect_error("models_dirs = [\"x\", 1]\n", "minerva.toml:1:15: \"models_dirs\" must be a list");
  expect_error("models_dirs = []\n", "minerva.toml:1:15: models_dirs: ");
  expect_error("\n\nmax_models = = 1\n", "minerva.toml:3:");
  expect_error("max_models = 1\nmax_models = 2\n", "minerva.toml:2:14: ", "cannot redefine");
  expect_error("[queue]\nmax_wait = \"5 minutes\"\n", "minerva.toml:2:12: queue.max_wait: ", "30s");
  expect_error("[queue]\nmax_wait = \"48h\"\n", "minerva.toml:2:12: queue.max_wait: ", "out of range");
  expect_error("[queue]\nmax_wait = 5\n", "minerva.toml:2:12: ");
  expect_error("[limits]\nmax_body = \"1TB!\"\n", "minerva.toml:2:12: limits.max_body: ");
  expect_error("[limits]\nmax_body = 10\n", "minerva.toml:2:12: limits.max_body: ", "out of range");
  expect_error("limits = 7\n", "minerva.toml:1:10: \"limits\" must be a table");
  expect_error("[model]\na = 7\n", "minerva.toml:2:5: ");
  expect_error("[model.a]\ncontext = 0\n", "minerva.toml:2:11: context: ");
  expect_error("[model.a]\npin = \"yes\"\n", "minerva.toml:2:7: \"pin\" must be true or false");
  expect_error("[model.a]\nweights = \"heavy\"\n", "minerva.toml:2:11: weights: ", "repacked");
  expect_error("[model.\"a b\"]\n", "minerva.toml:1:");
  for (const std::string id : {"stats", "load", "unload", "sse"}) {
    expect_error("[model." + id + "]\n", "minerva.toml:1:", "reserved");
  }
  expect_error("[model.a]\nargs = [\"--port\", \"1\"]\n", "minerva.toml:2:8: args: \"--port\" is not allowed");
  expect_error("[model.a]\nargs = [\"-c\", \"1\"]\n", "minerva.toml:2:8: args: ", "\"context\"");
  expect_error("[model.a]\naliases = [\"b c\"]\n", "minerva.toml:2:11: aliases: ");
}

TEST_F(ConfigTest, APresetSaysWhatAModelIsAskedWith) {
  const std::string text = R"([model.qwen]
aliases = ["q"]
[preset."qwen:fast"]
model = "q"
aliases = ["fast"]
strip = ["top_k"]
default = { temperature = 0.5, stop = ["a", "b"] }
set = { chat_template_kwargs = { enable_thinking = false, "x y" = [{ a = 1 }] }, max_tokens = 100 }
system = "Answer \"briefly\".\n"
[preset.plain]
model = "qwen"
)";
  const auto config = load(text);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  ASSERT_EQ(config->presets.size(), 2U);
  EXPECT_EQ(config->presets[0].id, "plain");
  const api::Preset& preset = config->presets[1];
  EXPECT_EQ(preset.id, "qwen:fast");
  EXPECT_EQ(preset.model, "q");
  EXPECT_EQ(preset.aliases, std::vector<ModelId>{"fast"});
  EXPECT_EQ(preset.strip, std::vector<std::string>{"top_k"});
  EXPECT_EQ(api::preset_json(preset.defaults), R"({"stop":["a","b"],"temperature":0.5})");
  EXPECT_EQ(api::preset_json(preset.set),
            R"({"chat_template_kwargs":{"enable_thinking":false,"x y":[{"a":1}]},"max_tokens":100})");
  EXPECT_EQ(preset.system, "Answer \"briefly\".\n");
  EXPECT_EQ(api::find_preset(config->presets, "fast"), &preset);
  EXPECT_EQ(api::find_preset(config->presets, "qwen"), nullptr);

  // The printed config means the same.
  const auto again = load(describe_config(*config));
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(again->presets, config->presets);
}

TEST_F(ConfigTest, APresetWithAMistakeIsAnErrorWithItsPlace) {
  const std::string preset = "[preset.p]\nmodel = \"a\"\n";
  EXPECT_EQ(error(preset), "no error");
  expect_error("[preset.p]\nsystem = \"x\"\n", "minerva.toml:1:9: add model");
  expect_error("preset = 1\n", "minerva.toml:1:10: \"preset\" must be a table: [preset.\"NAME\"]");
  expect_error("[preset]\np = 1\n", "minerva.toml:2:5: write [preset.\"p\"]");
  expect_error("[preset.\"a b\"]\nmodel = \"a\"\n", "minerva.toml:1:9: \"a b\" cannot be");
  expect_error(preset + "sampling = 1\n", "minerva.toml:3:1: unknown key \"sampling\"", "strip");
  expect_error(preset + "strip = [\"model\"]\n", "minerva.toml:3:9: strip: \"model\" is the request's own");
  expect_error(preset + "set = { stream = true }\n", "minerva.toml:3:7: set: \"stream\" is the request's own");
  expect_error(preset + "[preset.p.default]\nmessages = []\n", "minerva.toml:3:", "messages");
  expect_error(preset + "set = { n = 1000 }\n", "minerva.toml:3:7: set: \"n\" must be a number from 1 to 128");
  expect_error(preset + "set = { n_predict = 1, max_tokens = 1 }\n", "minerva.toml:3:7: set: ", "mean the same");
  expect_error(preset + "set = \"x\"\n", "minerva.toml:3:7: \"set\" must be a table");
  expect_error(preset + "set = { a = inf }\n", "minerva.toml:3:7: \"set\" must be a table");
  expect_error(preset + "set = { a = [2026-01-01] }\n", "minerva.toml:3:7: \"set\" must be a table");
}

TEST_F(ConfigTest, APresetsNameIsItsOwnAndItsModelIsNoPreset) {
  const std::string preset = "[preset.p]\nmodel = \"a\"\naliases = [\"alias\"]\n";
  expect_error("[model.p]\n" + preset, "minerva.toml:2:9: \"p\" already names a model");
  expect_error("[model.a]\naliases = [\"p\"]\n" + preset, "minerva.toml:2:11: aliases: \"p\" already names \"p\"");
  expect_error("[model.alias]\n" + preset, "minerva.toml:4:11: aliases: \"alias\" already names \"alias\"");
  expect_error(preset + "[preset.q]\nmodel = \"p\"\n", "minerva.toml:5:9: model: \"p\" is a preset itself");
  expect_error(preset + "[preset.q]\nmodel = \"alias\"\n", "minerva.toml:5:9: model: \"alias\" is a preset itself");
  expect_error("[preset.p]\nmodel = \"p\"\n", "minerva.toml:2:9: model: \"p\" is a preset itself");
}

TEST_F(ConfigTest, ChangedPresetsTakeEffectAtOnce) {
  const std::string a = "[preset.a]\nmodel = \"m\"\n";
  const auto running = load(a + "[preset.b]\nmodel = \"m\"\n[preset.c]\nmodel = \"m\"\n");
  auto next = load(a + "[preset.b]\nmodel = \"m\"\nset = { seed = 1 }\n[preset.d]\nmodel = \"m\"\n");
  const ConfigChanges changes = compare_configs(*running, *next);
  EXPECT_EQ(changes.live, (std::vector<std::string>{"preset.\"b\"", "preset.\"d\"", "preset.\"c\""}));
  EXPECT_TRUE(changes.at_restart.empty());
}

TEST_F(ConfigTest, PoliciesAreKnownByName) {
  expect_error("policy = \"random\"\n", "minerva.toml:1:10: policy: ", "lru");
  EXPECT_EQ(load("policy = \"hazard\"\n")->policy, "hazard");
}

TEST_F(ConfigTest, AModelIsPreloadedAndUnloadedAtSetTimes) {
  const auto config =
      load("time_zone = \"Europe/Berlin\"\n[model.a]\npreload = \"0 8 * * mon-fri\"\nunload = \"@daily\"\n");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->zone, TimeZone::find("Europe/Berlin"));
  const ModelEntry& entry = config->models.at(0);
  EXPECT_EQ(entry.preload, PreloadStrategy::kScheduled);
  EXPECT_EQ(entry.preload_at, CronSchedule::parse("0 8 * * mon-fri").value());
  EXPECT_EQ(entry.unload_at, CronSchedule::parse("@daily").value());
  const std::string printed = describe_config(*config);
  for (const char* const line :
       {"\ntime_zone = \"Europe/Berlin\"\n", "\npreload = \"0 8 * * mon-fri\"\n", "\nunload = \"@daily\"\n"}) {
    EXPECT_NE(printed.find(line), std::string::npos) << line << printed;
  }
}

TEST_F(ConfigTest, AScheduleWithAMistakeIsAnErrorWithItsPlace) {
  expect_error("[model.a]\npreload = \"sometimes\"\n", "minerva.toml:2:11: preload: \"sometimes\" is no eager, lazy or",
               "0 8 * * mon-fri");
  expect_error("[model.a]\npreload = \"0 8 * * mon-fry\"\n", "minerva.toml:2:11: preload: day of the week: \"fry\"");
  expect_error("[model.a]\npreload = \"0 8 * *\"\n", "minerva.toml:2:11: preload: ", "has 4 fields");
  expect_error("[model.a]\npreload = \"@reboot\"\n", "minerva.toml:2:11: preload: ", "@hourly, @daily");
  expect_error("[model.a]\n\nunload = \"0 0 31 2 *\"\n", "minerva.toml:3:10: unload: day of the month: ", "never come");
  expect_error("[model.a]\nunload = \"never\"\n", "minerva.toml:2:10: unload: \"never\" is no schedule");
  expect_error("[model.a]\nunload = 8\n", "minerva.toml:2:10: \"unload\" must be text");
}

TEST_F(ConfigTest, TheTimeZoneIsOneOfTheDatabaseOrTheMachines) {
  expect_error("time_zone = \"Berlin\"\n", "minerva.toml:1:13: time_zone: there is no time zone \"Berlin\"",
               "Europe/Berlin");
  const char* const before = std::getenv("TZ");
  const std::string kept = before == nullptr ? "" : before;
  ::setenv("TZ", "Asia/Tokyo", 1);
  EXPECT_EQ(load("[model.a]\nunload = \"@daily\"\n")->zone, TimeZone::find("Asia/Tokyo"));
  EXPECT_EQ(load("time_zone = \"UTC\"\n[model.a]\nunload = \"@daily\"\n")->zone, TimeZone());
  // A zone without a name matters only to schedules.
  ::setenv("TZ", "CET-1CEST", 1);
  EXPECT_TRUE(load("[model.a]\npreload = \"eager\"\n").has_value());
  EXPECT_TRUE(load("time_zone = \"UTC\"\n[model.a]\nunload = \"@daily\"\n").has_value());
  expect_error("[model.a]\nunload = \"@daily\"\n",
               "time_zone: it is not set, and model.\"a\" has a schedule: ", "CET-1CEST");
  if (before == nullptr) {
    ::unsetenv("TZ");
  } else {
    ::setenv("TZ", kept.c_str(), 1);
  }
}

TEST_F(ConfigTest, ParkingIsSwitchedByAKeyAFlagAndAVariable) {
  EXPECT_TRUE(load("")->park);
  EXPECT_FALSE(load("[park]\nenabled = false\n")->park);
  const auto environment = settings_from_environment({"MINERVA_PARK=true", "MINERVA_PARK_MEMORY=10%"});
  const auto config = load("[park]\nenabled = false\nmemory = \"1GiB\"\n", environment.settings);
  EXPECT_TRUE(config->park);
  EXPECT_EQ(config->park_memory.percent, 10);
  EXPECT_EQ(config->park_memory.bytes, Bytes(0));
  EXPECT_FALSE(load("", environment.settings, {{"park.enabled", "true"}, {"park.enabled", "false"}})->park);
  expect_error("park = true\n", "minerva.toml:1:8: \"park\" must be a table: [park]");
  expect_error("[park]\nenabled = \"yes\"\n", "minerva.toml:2:11: \"enabled\" must be true or false");
  expect_error("[park]\nmemory = \"much\"\n", "minerva.toml:2:10: park.memory: ", "like \"12GiB\"");
  expect_error("[park]\nimages = \"0%\"\n", "minerva.toml:2:10: park.images: ", "1%");
  const auto variable = load("", {{"park.enabled", "yes"}}, {});
  ASSERT_FALSE(variable.has_value());
  EXPECT_EQ(variable.error().message, "environment MINERVA_PARK: \"yes\" is neither true nor false");
}

TEST_F(ConfigTest, ImagesGoBesideTheStateUnlessSaidOtherwise) {
  EXPECT_EQ(load("state_dir = \"/state\"\n")->park_folder, "/state/images");
  EXPECT_EQ(load("state_dir = \"/state\"\n[park]\nfolder = \"/disk\"\n")->park_folder, "/disk");
  EXPECT_EQ(load("[park]\nfolder = \"x\"\n")->park_folder, (folder_ / "x").string());
}

TEST_F(ConfigTest, HowLongAModelMayBeIdle) {
  const ModelEntry entry = load("[model.a]\nttl = \"30m\"\nunload_ttl = \"30m\"\n")->models.at(0);
  EXPECT_EQ(entry.ttl, 30min);
  EXPECT_EQ(entry.unload_ttl, 30min);
  EXPECT_EQ(load("[model.a]\nttl = \"30m\"\nunload_ttl = \"0s\"\n")->models.at(0).unload_ttl, 0s);
  EXPECT_EQ(load("[model.a]\nunload_ttl = \"1s\"\n")->models.at(0).ttl, std::nullopt);
  expect_error("[model.a]\nttl = \"30m\"\nunload_ttl = \"1799s\"\n",
               "minerva.toml:3:14: unload_ttl: 1799s is shorter than ttl (30m)", "before it is parked");
  expect_error("[model.a]\nunload_ttl = \"1m\"\nttl = \"30m\"\n", "minerva.toml:2:14: unload_ttl: ");
  expect_error("[model.a]\nttl = \"soon\"\n", "minerva.toml:2:7: ttl: ", "30s");
  expect_error("[model.a]\nttl = 30\n", "minerva.toml:2:7: \"ttl\" must be text");
}

TEST_F(ConfigTest, WhatAReloadChanges) {
  const Config running = *load("state_dir = \"/state\"\n[model.a]\nttl = \"30m\"\n");
  Config next = *load(
      "state_dir = \"/other\"\n[park]\nenabled = false\nmemory = \"1GiB\"\nimages = \"2GiB\"\n"
      "[model.a]\nttl = \"31m\"\n");
  const ConfigChanges changes = compare_configs(running, next);
  EXPECT_EQ(changes.live, (std::vector<std::string>{"park.enabled", "park.memory", "park.images", "model.\"a\""}));
  EXPECT_EQ(changes.at_restart, (std::vector<std::string>{"state_dir", "park.folder"}));
  EXPECT_EQ(next.park_folder, "/state/images");
  EXPECT_FALSE(next.park);
  EXPECT_EQ(next.park_memory.bytes, Bytes::gib(1));
}

TEST_F(ConfigTest, ADeviceIsAPoolWithItsBudget) {
  const auto config =
      load("[device.Vulkan0]\nmemory_budget = \"6GiB\"\n[device.\"CUDA0\"]\nmemory_budget = \"20GiB\"\n");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->devices, (std::vector<Device>{{"CUDA0", Bytes::gib(20)}, {"Vulkan0", Bytes::gib(6)}}));
  const auto told = load_told_config(tell_config(*config));
  ASSERT_TRUE(told.has_value()) << told.error().message;
  EXPECT_EQ(told->devices, config->devices);
}

TEST_F(ConfigTest, ADeviceWithAMistakeIsAnErrorWithItsPlace) {
  std::string five;
  for (const char c : std::string("abcde")) five += fmt::format("[device.{}]\nmemory_budget = \"1GiB\"\n", c);
  for (const auto& [text, message] : std::initializer_list<std::pair<std::string, std::string>>{
           {"[device.\"a b\"]\nmemory_budget = \"1GiB\"\n", ":1:9: \"a b\" cannot be a device's name"},
           {"[device.host]\nmemory_budget = \"1GiB\"\n", ":1:9: \"host\" is the machine's own memory"},
           {"[device.a]\n", ":1:9: add memory_budget"},
           {"[device.a]\nmemory_budget = \"1KiB\"\n", ":2:17: memory_budget: 1KiB is out of range: 1MiB to 1TiB"},
           {"[device.a]\nmemory = \"1GiB\"\n", ":2:1: unknown key \"memory\"; known here: memory_budget"},
           {"device = 1\n", "\"device\" must be a table: [device.\"NAME\"]"},
           {five, ":9:9: there can be 4 devices"}}) {
    const auto config = load(text);
    ASSERT_FALSE(config.has_value()) << text;
    EXPECT_NE(config.error().message.find(message), std::string::npos) << config.error().message;
  }
}

TEST_F(ConfigTest, ADeviceStaysThePoolThatItIsUntilARestart) {
  const auto device = [](const std::string& name, const std::string& budget) {
    return fmt::format("[device.{}]\nmemory_budget = \"{}\"\n", name, budget);
  };
  const Config running = *load(device("b", "1GiB") + device("c", "2GiB"));
  Config next = *load(device("a", "3GiB") + device("c", "4GiB"));
  const ConfigChanges changes = compare_configs(running, next);
  EXPECT_EQ(changes.live, (std::vector<std::string>{"device.\"c\"", "device.\"a\""}));
  EXPECT_EQ(changes.at_restart, (std::vector<std::string>{"device.\"b\""}));
  EXPECT_EQ(next.devices, (std::vector<Device>{{"b", Bytes::gib(1)}, {"c", Bytes::gib(4)}, {"a", Bytes::gib(3)}}));
  // The fifth device has no pool before the next start.
  Config more = *load(device("b", "1GiB") + device("c", "4GiB") + device("d", "1GiB") + device("e", "1GiB"));
  EXPECT_EQ(compare_configs(next, more).at_restart, (std::vector<std::string>{"device.\"a\"", "device.\"e\""}));
  EXPECT_EQ(more.devices.size(), 4U);
}

TEST_F(ConfigTest, BeyondLoopbackItTakesAKey) {
  for (const std::string address : {"0.0.0.0:3000", "192.168.1.1:3000", "[::]:3000"}) {
    const std::string listen = "listen = \"" + address + "\"\n";
    expect_error(listen, "minerva.toml:1:10: listen: ", "--api-key");
    EXPECT_TRUE(load(listen, {}, {{"api_keys", "secret"}}).has_value());
    EXPECT_TRUE(load("api_keys = [\"secret\"]\n" + listen).has_value());
  }
  EXPECT_TRUE(load("listen = \"unix:/tmp/x.sock\"\n").has_value());
  EXPECT_TRUE(load("listen = \"[::1]:0\"\n").has_value());
  // Every address counts.
  const std::string both = "listen = [\"127.0.0.1:3000\", \"192.168.1.1:3000\"]\n";
  expect_error(both, "minerva.toml:1:10: listen: 192.168.1.1:3000", "--api-key");
  EXPECT_TRUE(load("api_keys = [\"secret\"]\n" + both).has_value());
}

TEST_F(ConfigTest, ItListensOnBothLoopbacksOrWhereItIsTold) {
  const auto texts = [](const Result<Config>& config) {
    std::vector<std::string> result;
    for (const io::Address& address : config.value().listen) result.push_back(address.text());
    return result;
  };
  using Texts = std::vector<std::string>;
  EXPECT_EQ(texts(load("")), (Texts{"127.0.0.1:3000", "[::1]:3000"}));
  EXPECT_EQ(texts(load("listen = [\"127.0.0.1:1\", \"unix:/x\"]\n")), (Texts{"127.0.0.1:1", "unix:/x"}));
  EXPECT_EQ(texts(load("", {}, {{"listen", "127.0.0.1:1"}, {"listen", "[::1]:2"}})), (Texts{"127.0.0.1:1", "[::1]:2"}));
  const auto variable = settings_from_environment({"MINERVA_LISTEN=127.0.0.1:1,[::1]:2"});
  EXPECT_EQ(texts(load("", variable.settings)), (Texts{"127.0.0.1:1", "[::1]:2"}));
  expect_error("listen = []\n", "minerva.toml:1:10: listen: ", "one address");
}

TEST_F(ConfigTest, OriginsAreOriginsAndEveryPageTakesAKey) {
  const auto config = load("[limits]\nallowed_origins = [\"http://localhost:*\", \"app://*\"]\n");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->allowed_origins, (std::vector<std::string>{"http://localhost:*", "app://*"}));
  for (const std::string bad : {"localhost", "http://", "http://a/", "http://a/b", "://a", "http://a b", ""}) {
    expect_error("[limits]\nallowed_origins = [\"" + bad + "\"]\n",
                 "minerva.toml:2:19: limits.allowed_origins: ", "no origin");
  }
  const std::string all = "[limits]\nallowed_origins = [\"*\"]\n";
  expect_error(all, "minerva.toml:2:19: limits.allowed_origins: ", "API key");
  EXPECT_TRUE(load("api_keys = [\"secret\"]\n" + all).has_value());
}

TEST_F(ConfigTest, DefaultPathsArePaths) {
  const auto config = load("[model.a]\ndefault_for = [\"/sdapi/v1\"]\n");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->models[0].default_for, (std::vector<std::string>{"/sdapi/v1"}));
  for (const std::string bad : {"", "/", "sdapi", "/sdapi/"}) {
    EXPECT_FALSE(load("[model.a]\ndefault_for = [\"" + bad + "\"]\n").has_value()) << bad;
  }
}

TEST_F(ConfigTest, KeysOfAllSourcesAreTakenAndNoneIsTold) {
  const std::string file = (folder_ / "keys").string();
  std::ofstream(file) << "of-the-file\n";
  ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  const std::string text = "api_key_file = \"keys\"\napi_keys = [\"of-the-config\"]\n";
  const auto config = load(text);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_TRUE(config->accepted_keys.find("of-the-file"));
  EXPECT_TRUE(config->accepted_keys.find("of-the-config"));
  EXPECT_FALSE(config->accepted_keys.find("other"));
  EXPECT_EQ(describe_config(*config).find("of-the"), std::string::npos);

  const auto environment = settings_from_environment({"MINERVA_API_KEY=one,two", "MINERVA_API_KEYS=three,four"});
  const auto overridden = load(text, environment.settings);
  ASSERT_TRUE(overridden.has_value()) << overridden.error().message;
  for (const char* key : {"one,two", "three", "four", "of-the-file"}) {
    EXPECT_TRUE(overridden->accepted_keys.find(key)) << key;
  }
  EXPECT_FALSE(overridden->accepted_keys.find("of-the-config"));

  ASSERT_EQ(::chmod(file.c_str(), 0644), 0);
  expect_error(text, "minerva.toml:1:16: api_key_file: ", "chmod 600");
  expect_error("api_keys = [\"two words\"]\n", "minerva.toml:1:12: api_keys: ", "spaces");
}

TEST_F(ConfigTest, AModelMayBeACommand) {
  const auto config = load(
      "[model.m]\ncommand = [\"./serve\", \"--port\", \"${PORT}\"]\nmemory = \"2GiB\"\nhealth = \"/v1/models\"\n"
      "env = [\"A=b\"]\n");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  const CommandSpec& command = config->models.at(0).command;
  EXPECT_EQ(command.argv, (std::vector<std::string>{(folder_ / "serve").string(), "--port", "${PORT}"}));
  EXPECT_EQ(command.memory, Bytes::gib(2));
  EXPECT_EQ(command.health, "/v1/models");
  EXPECT_EQ(command.environment, std::vector<std::string>{"A=b"});
  const std::string described = describe_config(*config);
  EXPECT_NE(described.find("memory = \"2GiB\"\n"), std::string::npos) << described;
  EXPECT_EQ(load("[model.m]\ncommand = [\"x\", \"${SOCKET}\"]\nmemory = 4194304\n")->models.at(0).command.argv.front(),
            "x")
      << "found in PATH";

  const std::string good = "[model.m]\ncommand = [\"x\", \"${PORT}\"]\n";
  expect_error(good, "minerva.toml:2:11: ", "memory");
  expect_error(good + "memory = \"1KiB\"\n", "minerva.toml:3:10: memory: ", "out of range");
  expect_error(good + "memory = \"1GiB\"\nhealth = \"up\"\n", "minerva.toml:4:10: health: ", "no path");
  expect_error(good + "memory = \"1GiB\"\nenv = [\"=b\"]\n", "minerva.toml:4:7: env: ", "NAME=value");
  expect_error(good + "memory = \"1GiB\"\nparallel = 2\n", "minerva.toml:4:12: parallel: ", "command");
  expect_error("[model.m]\ncommand = []\nmemory = \"1GiB\"\n", "minerva.toml:2:11: command: ", "no program");
  expect_error("[model.m]\ncommand = [\"x\"]\nmemory = \"1GiB\"\n", "minerva.toml:2:11: command: ", "${PORT}");
  expect_error("[model.m]\ncommand = [\"${PORT}\", \"${SOCKET}\"]\nmemory = \"1GiB\"\n",
               "minerva.toml:2:11: command: ", "not with both");
  expect_error("[model.m]\nmemory = \"1GiB\"\n", "minerva.toml:2:10: memory: ", "with a command");
}

TEST_F(ConfigTest, TlsTakesACertificateAndItsKey) {
  const auto config = load("[tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\n");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->tls_certificate, (folder_ / "cert.pem").string());
  EXPECT_EQ(config->tls_key, (folder_ / "key.pem").string());
  expect_error("[tls]\ncertificate = \"cert.pem\"\n", "minerva.toml:2:15: tls.certificate: ", "both");
  expect_error("[tls]\nkey = \"key.pem\"\n", "minerva.toml:2:7: tls.key: ", "both");
}

TEST_F(ConfigTest, NamesMustNotMeanTwoModels) {
  expect_error("[model.a]\naliases = [\"b\"]\n[model.b]\n", "minerva.toml:2:11: aliases: \"b\"");
  expect_error("[model.a]\naliases = [\"x\"]\n[model.b]\naliases = [\"x\"]\n", "minerva.toml:4:11: aliases: \"x\"");
  expect_error("[model.a]\naliases = [\"a\"]\n", "minerva.toml:2:11: aliases: \"a\"");
}

TEST_F(ConfigTest, AFileThatCannotBeReadIsAnError) {
  const auto missing = load_config((folder_ / "missing.toml").string(), {}, {});
  ASSERT_FALSE(missing.has_value());
  EXPECT_NE(missing.error().message.find("missing.toml: cannot be read"), std::string::npos);
  EXPECT_FALSE(load_config(folder_.string(), {}, {}).has_value());
  EXPECT_FALSE(load(std::string(2 << 20, '#')).has_value());
}

TEST_F(ConfigTest, FlagsBeatEnvironmentBeatsFileBeatsDefault) {
  const std::string text =
      "max_models = 1\npolicy = \"lfu\"\nmodels_dirs = [\"/a\", \"/b\"]\n[queue]\nmax_wait = \"1s\"\n";
  const Settings environment = {{"max_models", "2"}, {"policy", "fifo"}, {"queue.max_wait", "2s"}};
  const Settings flags = {{"max_models", "3"}, {"models_dirs", "/c"}, {"models_dirs", "/d"}};
  const auto config = load(text, environment, flags);
  ASSERT_TRUE(config.has_value()) << config.error().message;
  EXPECT_EQ(config->max_models, 3U);
  EXPECT_EQ(config->policy, "fifo");
  EXPECT_EQ(config->max_wait, 2s);
  EXPECT_EQ(config->models_dirs, (std::vector<std::string>{"/c", "/d"}));
  EXPECT_EQ(load(text)->models_dirs, (std::vector<std::string>{"/a", "/b"}));
  EXPECT_EQ(load(text)->max_queue, Config{}.max_queue);
}

TEST_F(ConfigTest, ErrorsOfFlagsAndVariablesSayWhichOne) {
  const auto flag = load_config("", {}, {{"listen", "nowhere"}});
  ASSERT_FALSE(flag.has_value());
  EXPECT_TRUE(flag.error().message.starts_with("--listen: ")) << flag.error().message;
  const auto variable = load_config("", {{"limits.max_body", "x"}}, {});
  ASSERT_FALSE(variable.has_value());
  EXPECT_TRUE(variable.error().message.starts_with("environment MINERVA_LIMITS_MAX_BODY: "))
      << variable.error().message;
  EXPECT_FALSE(load_config("", {}, {{"nonsense", "x"}}).has_value());
}

TEST_F(ConfigTest, VariablesOfTheEnvironment) {
  const auto read = settings_from_environment({"PATH=/bin", "MINERVA_LISTEN=127.0.0.1:1", "MINERVA_MODELS_DIR=/a:/b",
                                               "MINERVA_POLICY=", "MINERVA_LIMITS_ALLOWED_HOSTS=a,b", "MINERVA_URL=x",
                                               "MINERVA_API_KEY=y", "MINERVA_CONFIG=z", "NOEQUALS"});
  EXPECT_EQ(read.settings, (Settings{{"listen", "127.0.0.1:1"},
                                     {"models_dirs", "/a"},
                                     {"models_dirs", "/b"},
                                     {"limits.allowed_hosts", "a"},
                                     {"limits.allowed_hosts", "b"},
                                     {"api_keys", "y"}}));
  EXPECT_TRUE(read.warnings.empty());
}

TEST_F(ConfigTest, AVariableThatNobodyKnowsIsAWarning) {
  const auto read = settings_from_environment({"MINERVA_MAX_MODLES=1", "MINERVA_MAX_MODELS=2", "MINERVA_PORTS=3"});
  EXPECT_EQ(read.settings, (Settings{{"max_models", "2"}}));
  ASSERT_EQ(read.warnings.size(), 2U);
  EXPECT_NE(read.warnings[0].find("MINERVA_MAX_MODLES"), std::string::npos) << read.warnings[0];
  EXPECT_NE(read.warnings[1].find("MINERVA_PORTS"), std::string::npos) << read.warnings[1];
}

// As in a pod beside a service called minerva.
TEST_F(ConfigTest, VariablesOfAContainerPlatformAreNothingAtAll) {
  const auto read = settings_from_environment(
      {"MINERVA_SERVICE_HOST=10.0.0.1", "MINERVA_SERVICE_PORT=3000", "MINERVA_SERVICE_PORT_HTTP=3000",
       "MINERVA_PORT=tcp://10.0.0.1:3000", "MINERVA_PORT_3000_TCP=tcp://10.0.0.1:3000",
       "MINERVA_PORT_3000_TCP_PROTO=tcp", "MINERVA_PORT_3000_TCP_PORT=3000", "MINERVA_PORT_3000_TCP_ADDR=10.0.0.1"});
  EXPECT_EQ(read.settings, Settings());
  EXPECT_TRUE(read.warnings.empty());
}

// A file of keys that exists as long as the tests run.
struct KeyFile {
  KeyFile() : path((fs::temp_directory_path() / "keys-XXXXXX").string()) {
    const int fd = ::mkstemp(path.data());  // made with mode 0600
    EXPECT_EQ(::write(fd, "secret\n", 7), 7);
    ::close(fd);
  }
  KeyFile(const KeyFile&) = delete;
  KeyFile& operator=(const KeyFile&) = delete;
  ~KeyFile() { fs::remove(path); }
  std::string path;
};

// For every key a value that is not the default, as TOML.
const std::map<std::string, std::string>& samples() {
  static const KeyFile key_file;
  static const std::map<std::string, std::string> values = {
      {"api_keys", "[\"sha256:" + std::string(64, 'a') + "\"]"},
      {"api_key_file", "\"" + key_file.path + "\""},
      {"tls.certificate", "\"/cert.pem\""},
      {"tls.key", "\"/key.pem\""},
      {"limits.max_connections_per_peer", "8"},
      {"limits.request_timeout", "\"11m\""},
      {"preset.NAME.model", "\"NAME\""},
      {"preset.NAME.aliases", "[\"face\"]"},
      {"preset.NAME.strip", "[\"top_k\"]"},
      {"preset.NAME.default", "{ seed = 7, temperature = 0.25 }"},
      {"preset.NAME.set", "{ a = { \"b c\" = [true, \"x\"] } }"},
      {"preset.NAME.system", "\"Be brief.\""},
      {"listen", "[\"[::1]:8080\", \"127.0.0.1:8081\"]"},
      {"models_dirs", "[\"/a \\\"quoted\\\" folder\", \"/b\\\\c\"]"},
      {"default_model", "\"org/repo:Q4_K_M\""},
      {"unknown_model", "\"default\""},
      {"memory_budget", "\"1536MiB\""},
      {"fit", "\"off\""},
      {"model.NAME.fit", "\"off\""},
      {"max_models", "7"},
      {"policy", "\"fifo\""},
      {"state_dir", "\"/state\""},
      {"engine", "\"/opt/engine\""},
      {"ui_dir", "\"/opt/ui\""},
      {"sandbox", "\"required\""},
      {"time_zone", "\"Europe/Berlin\""},
      {"log_format", "\"json\""},
      {"log_level", "\"debug\""},
      {"limits.allowed_hosts", "[\"box.local\"]"},
      {"limits.allowed_origins", "[\"http://localhost:*\"]"},
      {"limits.max_head", "\"4KiB\""},
      {"limits.max_headers", "55"},
      {"limits.head_timeout", "\"1s\""},
      {"limits.idle_timeout", "\"2s\""},
      {"limits.body_timeout", "\"1500ms\""},
      {"limits.write_timeout", "\"2m\""},
      {"limits.max_body", "\"12345\""},
      {"limits.max_queued_bytes", "\"1GiB\""},
      {"limits.max_connections", "9"},
      {"limits.drain_timeout", "\"0s\""},
      {"limits.unload_timeout", "\"3s\""},
      {"limits.stop_grace", "\"4s\""},
      {"limits.stall_timeout", "\"9s\""},
      {"limits.min_free_memory", "\"3GiB\""},
      {"queue.max_per_model", "5"},
      {"queue.max_total", "6"},
      {"queue.max_wait", "\"1h\""},
      {"queue.min_residency", "\"250ms\""},
      {"queue.load_timeout", "\"20m\""},
      {"queue.max_switches_per_second", "7"},
      {"queue.head_start", "\"1m\""},
      {"admin_keys", "[\"sha256:" + std::string(64, 'd') + "\"]"},
      {"queue.high_priority_keys", "[\"sha256:" + std::string(64, 'b') + "\"]"},
      {"queue.low_priority_keys", "[\"sha256:" + std::string(64, 'c') + "\"]"},
      {"restart.restore", "false"},
      {"pull.hosts", "[\"mirror.example\", \"*.cdn.example\"]"},
      {"pull.max_rate", "\"110MiB\""},
      {"pull.stall_timeout", "\"45s\""},
      {"pull.parallel", "7"},
      {"park.enabled", "false"},
      {"trace.enabled", "false"},
      {"predict.preload", "true"},
      {"predict.read_ahead", "true"},
      {"conversations.enabled", "false"},
      {"conversations.disk", "\"7%\""},
      {"conversations.max_age", "\"12d\""},
      {"park.memory", "\"3GiB\""},
      {"park.images", "\"33%\""},
      {"park.folder", "\"/images\""},
      {"device.NAME.memory_budget", "\"5GiB\""},
      {"model.NAME.path", "\"x.gguf\""},
      {"model.NAME.aliases", "[\"y\", \"z\"]"},
      {"model.NAME.default_for", "[\"/sdapi/v1\"]"},
      {"model.NAME.context", "4096"},
      {"model.NAME.context_may_shrink", "true"},
      {"model.NAME.parallel", "3"},
      {"model.NAME.pin", "true"},
      {"model.NAME.preload", "\"eager\""},
      {"model.NAME.unload", "\"0 20 * * 1-5\""},
      {"model.NAME.ttl", "\"10m\""},
      {"model.NAME.unload_ttl", "\"23h\""},
      {"model.NAME.weights", "\"repacked\""},
      {"model.NAME.device", "\"Vulkan0\""},
      {"model.NAME.resident", "\"host\""},
      {"model.NAME.args", "[\"--temp\", \"0.7\"]"},
      {"model.NAME.command", R"(["x", "${PORT}"])"},
      {"model.NAME.memory", R"("3GiB")"},
      {"model.NAME.health", R"("/ping")"},
      {"model.NAME.env", R"(["A=b"])"},
  };
  return values;
}

TEST_F(ConfigTest, Conversations) {
  EXPECT_TRUE(load("")->conversations);
  EXPECT_EQ(load("")->conversations_disk.percent, 10);
  EXPECT_EQ(load("")->conversations_max_age, std::chrono::hours(720));
  const auto config = load("[conversations]\nenabled = false\ndisk = \"5GiB\"\nmax_age = \"8h\"\n");
  EXPECT_FALSE(config->conversations);
  EXPECT_EQ(config->conversations_disk.bytes, Bytes::gib(5));
  EXPECT_EQ(config->conversations_max_age, std::chrono::hours(8));
  EXPECT_EQ(load("[conversations]\nmax_age = \"365d\"\n")->conversations_max_age, std::chrono::hours(365 * 24));
  expect_error("[conversations]\nmax_age = \"366d\"\n", "minerva.toml:2:11: ", "year");
  expect_error("[conversations]\nmax_age = \"59m\"\n", "minerva.toml:2:11: ", "1h to 365d");
}

TEST_F(ConfigTest, EveryKeyIsReadDescribedAndReadAgain) {
  std::map<std::string, std::string> sections;  // section -> its lines
  std::set<std::string> environments;
  for (const ConfigKey& key : config_keys()) {
    ASSERT_TRUE(samples().contains(key.name)) << "no sample of " << key.name;
    EXPECT_FALSE(key.type.empty());
    EXPECT_FALSE(key.default_text.empty());
    EXPECT_FALSE(key.meaning.empty());
    if (!key.environment.empty()) {
      EXPECT_TRUE(environments.insert(key.environment).second) << key.environment << " is used twice";
    }
    const std::size_t dot = key.name.rfind('.');
    std::string section = dot == std::string::npos ? "" : "[" + key.name.substr(0, dot) + "]\n";
    static const std::set<std::string> kOfCommands = {"model.NAME.command", "model.NAME.memory", "model.NAME.health",
                                                      "model.NAME.env"};
    if (kOfCommands.contains(key.name)) section = "[model.COMMAND]\n";  // cannot stand together with the others
    if (key.name.starts_with("preset.")) section = "[preset.FACE]\n";
    sections[section] +=
        key.name.substr(dot == std::string::npos ? 0 : dot + 1) + " = " + samples().at(key.name) + "\n";
  }
  EXPECT_EQ(config_keys().size(), samples().size());
  std::string text;
  for (const auto& [section, lines] : sections) text += section + lines;

  const auto config = load(text);
  ASSERT_TRUE(config.has_value()) << config.error().message << "\n" << text;
  const std::string described = describe_config(*config);
  for (const ConfigKey& key : config_keys()) {
    const std::string line = key.name.substr(key.name.rfind('.') + 1) + " = " + samples().at(key.name) + "\n";
    EXPECT_NE(described.find("\n" + line), std::string::npos) << line << described;
  }
  EXPECT_EQ(config->max_body, Bytes(12345));
  const auto again = load(described);
  ASSERT_TRUE(again.has_value()) << again.error().message << "\n" << described;
  EXPECT_EQ(describe_config(*again), described);
  EXPECT_EQ(again->models, config->models);
  EXPECT_EQ(again->devices, config->devices);
  ASSERT_EQ(again->listen.size(), 2U);
  EXPECT_EQ(again->listen[0].text(), "[::1]:8080");
  EXPECT_EQ(again->models_dirs, (std::vector<std::string>{"/a \"quoted\" folder", "/b\\c"}));
  EXPECT_EQ(again->http.body_timeout, 1500ms);

  // No key kept its default: so no setter sets the member of another key.
  const std::string defaults = describe_config(Config{});
  std::size_t same = 0;
  for (const auto& [name, value] : samples()) {
    if (name.starts_with("model.") || name.starts_with("device.") || name.starts_with("preset.")) continue;
    const std::string line = "\n" + name.substr(name.rfind('.') + 1) + " = " + value + "\n";
    same += defaults.find(line) != std::string::npos ? 1U : 0U;
  }
  EXPECT_EQ(same, 0U);
}

TEST_F(ConfigTest, WhatIsToldOfAConfigHasNoSecretsAndIsReadAgain) {
  const auto config = load(R"(
listen = "0.0.0.0:3000"
api_keys = ["key-one"]
max_models = 3
[queue]
high_priority_keys = ["key-two"]
low_priority_keys = ["key-three"]
max_wait = "7s"
[model.plain]
context = 4096
aliases = ["other"]
[model.command]
command = ["/bin/server", "--token", "key-four", "--port", "${PORT}"]
memory = "1GiB"
env = ["TOKEN=key-five"]
)");
  ASSERT_TRUE(config.has_value()) << config.error().message;
  const std::string told = tell_config(*config);
  EXPECT_EQ(told.find("key-"), std::string::npos) << told;
  EXPECT_EQ(told.find("sha256"), std::string::npos) << told;
  EXPECT_EQ(told.find("TOKEN"), std::string::npos) << told;

  auto again = load_told_config(told);
  ASSERT_TRUE(again.has_value()) << again.error().message << "\n" << told;
  EXPECT_EQ(tell_config(*again), told);
  ASSERT_EQ(again->listen.size(), 1U) << "it needs no key to be told";
  EXPECT_EQ(again->listen[0].text(), "0.0.0.0:3000");
  ASSERT_EQ(again->models.size(), 2U);
  EXPECT_EQ(again->models[0].command.argv.front(), "/bin/server");
  EXPECT_EQ(again->models[1], config->models[1]);
  // Everything else is equal.
  const ConfigChanges changes = compare_configs(*config, *again);
  EXPECT_EQ(changes.at_restart, std::vector<std::string>());
  EXPECT_EQ(changes.live, (std::vector<std::string>{"api_keys", "queue.high_priority_keys", "queue.low_priority_keys",
                                                    "model.\"command\""}));
  EXPECT_FALSE(load_told_config("max_models = \"x\"").has_value());
}

TEST_F(ConfigTest, TheDefaultDescriptionIsAConfigFile) {
  const auto config = load_config("", {}, {});
  ASSERT_TRUE(config.has_value());
  const auto again = load(describe_config(*config));
  ASSERT_TRUE(again.has_value()) << again.error().message;
  EXPECT_EQ(describe_config(*again), describe_config(*config));
}

TEST_F(ConfigTest, AShareOfSomething) {
  EXPECT_EQ(share_of({25, {}}, Bytes(1000)), Bytes(250));
  EXPECT_EQ(share_of({25, {}}, Bytes(10)), Bytes(3)) << "rounded";
  EXPECT_EQ(share_of({100, {}}, Bytes(UINT64_MAX)), Bytes(UINT64_MAX));
  EXPECT_EQ(share_of({25, Bytes(7)}, Bytes(4)), Bytes(7));
}

TEST_F(ConfigTest, ABudgetIsOfTheLowestLimit) {
  const io::MachineMemory memory{{{"the machine", Bytes::gib(16), Bytes::gib(1), {}},
                                  {"the cgroup /x", Bytes::gib(4), {}, {}},
                                  {"the cgroup /", Bytes::gib(8), {}, {}}}};
  EXPECT_EQ(resolve_budget({50, Bytes::gib(3)}, memory), Bytes::gib(3));
  EXPECT_EQ(resolve_budget({50, Bytes(0)}, memory), Bytes::gib(2)) << "whoever holds the rest";
  for (const std::string bad : {"0%", "101%", "%", "0", "x", "-1%", "1.5%"}) {
    EXPECT_FALSE(load("memory_budget = \"" + bad + "\"\n").has_value()) << bad;
  }
  EXPECT_EQ(load("memory_budget = \"35%\"\n")->memory_budget.percent, 35);
  EXPECT_EQ(load("memory_budget = 1048576\n")->memory_budget.bytes, Bytes::mib(1));
}

TEST_F(ConfigTest, MinFreeMemory) {
  EXPECT_EQ(load("")->min_free_memory, std::nullopt);
  EXPECT_EQ(load("limits.min_free_memory = \"auto\"\n")->min_free_memory, std::nullopt);
  EXPECT_EQ(load("limits.min_free_memory = 0\n")->min_free_memory, Bytes(0));
  EXPECT_EQ(load("limits.min_free_memory = \"512MiB\"\n")->min_free_memory, Bytes::mib(512));
  for (const std::string bad : {"10%", "automatic", "", "2000TiB"}) {
    expect_error("[limits]\nmin_free_memory = \"" + bad + "\"\n", "minerva.toml:2:19: ", "neither auto nor a size");
  }
}

TEST_F(ConfigTest, ABudgetThatOthersLeaveNoRoomForIsToldWithTheNumbers) {
  Config config;  // 80 %; a sixteenth is to stay free
  const auto warning = [&](std::optional<Bytes> machine, std::optional<Bytes> group, Bytes held = Bytes()) {
    const io::MachineMemory memory{
        {{"the machine", Bytes::mib(16000), machine, {}}, {"the cgroup /x", Bytes::mib(1600), group, {}}}};
    return budget_warning(config, memory, held);
  };
  EXPECT_EQ(warning(Bytes::mib(2280), Bytes::mib(1380)), "");
  EXPECT_EQ(warning(Bytes::mib(1000), Bytes::mib(100), Bytes::mib(1280)), "") << "its own engines hold it";
  EXPECT_EQ(warning(std::nullopt, std::nullopt), "");
  EXPECT_EQ(warning(Bytes::mib(2280), Bytes::mib(1379)),
            "The models may take 1.2 GiB (memory_budget), but other programs leave them 1.3 GiB of the cgroup /x's 1.6 "
            "GiB, of which 100 MiB are to stay free (limits.min_free_memory). Idle models will be parked or stopped "
            "before the budget is reached: end other programs, or lower memory_budget to 1279MiB.");
  EXPECT_NE(warning(Bytes::mib(2000), Bytes::mib(1380)).find("the machine's"), std::string::npos) << "the tightest";
  const std::string nothing = warning(Bytes::mib(2280), Bytes::mib(10));
  EXPECT_TRUE(nothing.ends_with("end other programs.")) << nothing;
  config.memory_budget = {0, Bytes::mib(9)};
  config.min_free_memory = Bytes(0);
  EXPECT_EQ(warning(Bytes::mib(10), Bytes::mib(10)), "");
}

TEST_F(ConfigTest, DamagedFilesDoNoHarm) {
  const std::string good = describe_config(*load("[model.a]\nargs = [\"--temp\", \"0.7\"]\n"));
  for (std::size_t cut = 0; cut < good.size(); cut += 37) {
    static_cast<void>(load(good.substr(0, cut)));
    std::string damaged = good;
    damaged[cut] = static_cast<char>(cut * 131);
    const auto config = load(damaged);
    if (!config) EXPECT_EQ(config.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace minerva
