#include "cli/import.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "config/config.h"

namespace minerva::cli {
namespace {

using Strings = std::vector<std::string>;

class ImportTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (std::filesystem::temp_directory_path() / "import-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  // The config that the import makes. It loads.
  Config loaded(Result<void> (*import)(std::string_view, Imported&), std::string_view text) {
    Imported imported;
    const auto done = import(text, imported);
    EXPECT_TRUE(done) << (done ? "" : done.error().message);
    toml_ = toml_of(imported);
    const std::string file = (folder_ / "minerva.toml").string();
    std::ofstream(file) << toml_;
    auto config = load_config(file, {}, {});
    EXPECT_TRUE(config) << (config ? "" : config.error().message) << "\n" << toml_;
    return config ? *std::move(config) : Config{};
  }
  static std::string error(Result<void> (*import)(std::string_view, Imported&), std::string_view text) {
    Imported imported;
    const auto done = import(text, imported);
    return done ? "no error" : done.error().message;
  }
  static const ModelEntry& model(const Config& config, std::string_view id) {
    const auto found =
        std::find_if(config.models.begin(), config.models.end(), [&](const auto& m) { return m.id == id; });
    static const ModelEntry none;
    EXPECT_NE(found, config.models.end()) << id;
    return found == config.models.end() ? none : *found;
  }
  static const api::Preset& preset(const Config& config, std::string_view id) {
    const api::Preset* const found = api::find_preset(config.presets, id);
    static const api::Preset none;
    EXPECT_NE(found, nullptr) << id;
    return found == nullptr ? none : *found;
  }

  void expect_line(std::string_view words) const { EXPECT_NE(toml_.find(words), std::string::npos) << words << toml_; }

  std::filesystem::path folder_;
  std::string toml_;
};

TEST_F(ImportTest, LlamaCppsPresetsBecomeModels) {
  const Config config = loaded(import_llama_ini, R"(version = 1
; shared by all
[*]
c = 8192
n-gpu-layers = 8   # of each
jinja = on

[my-model]
model = /srv/models/a b.gguf
parallel = 2
LLAMA_ARG_CACHE_RAM = 0
LLAMA_ARG_N_GPU_LAYERS = 99
jinja = false
load-on-startup = true
alias = gpt-4, gpt-4o
mmproj = /srv/models/mmproj.gguf
model-draft = /srv/drafts/d.gguf
sleep-idle-seconds = 60
stop-timeout = 5
[org/repo:Q8_0]
hf-repo = org/repo:Q8_0
ctx-size = 0
np = 3
[other]
hf-repo = org/other:Q4_K_M
[of the folder]
kvu = true
np = 4
)");
  const ModelEntry& mine = model(config, "my-model");
  EXPECT_EQ(mine.path, "/srv/models/a b.gguf");
  EXPECT_EQ(mine.context, 4096U) << "tokens of one conversation";
  EXPECT_EQ(mine.parallel, 2U);
  EXPECT_EQ(mine.preload, PreloadStrategy::kEager);
  EXPECT_EQ(mine.ttl, std::chrono::minutes(1));
  EXPECT_EQ(mine.aliases, (Strings{"gpt-4", "gpt-4o"}));
  EXPECT_EQ(mine.args, (Strings{"--n-gpu-layers", "8", "--jinja", "--cache-ram", "0", "--n-gpu-layers", "99",
                                "--no-jinja", "--model-draft", "/srv/drafts/d.gguf"}));
  EXPECT_EQ(config.models_dirs, (Strings{"/srv/drafts", "/srv/models", *hub_cache_folder()}));
  expect_line("# No counterpart: --mmproj /srv/models/mmproj.gguf (");
  expect_line("# No counterpart: stop-timeout = 5");

  EXPECT_EQ(model(config, "org/repo:Q8_0").path, "");
  EXPECT_EQ(model(config, "org/repo:Q8_0").context, std::nullopt);
  EXPECT_EQ(model(config, "org/repo:Q8_0").parallel, 3U);
  EXPECT_EQ(model(config, "org/other:Q4_K_M").aliases, (Strings{"other"}));
  EXPECT_EQ(model(config, "of-the-folder").context, 8192U) << "one cache for all conversations";
}

TEST_F(ImportTest, ABrokenIniSaysWhere) {
  EXPECT_EQ(error(import_llama_ini, "[a]\nx = 1\nnonsense\n"),
            "line 3: neither a section in brackets nor \"key = value\"");
  EXPECT_NE(error(import_llama_ini, "[a\n").find("line 1: "), std::string::npos);
  EXPECT_NE(error(import_llama_ini, "[a] b\n").find("line 1: "), std::string::npos);
}

TEST_F(ImportTest, LlamaSwapsModelsBecomeModelsAndCommands) {
  ::setenv("IMPORT_TEST_KEY", "sk-from-the-environment", 1);
  const Config config = loaded(import_llama_swap, R"(
healthCheckTimeout: 300
logLevel: warn
startPort: 10001
globalTTL: 900
apiKeys: ["sk-one", "${env.IMPORT_TEST_KEY}", "${env.IMPORT_TEST_NOT_SET}"]
macros:
  server: >
    /opt/llama-server-b9000 --port ${PORT}
  ctx: 4096
  args: "--ctx-size ${ctx}"
models:
  "plain":
    cmd: |
      # ${server} is of the macros
      ${server}
      --model '/srv/models/my model.gguf' \
      ${args} --temp -0.5
    macros:
      ctx: 16384
    aliases: ["gpt-4o-mini", "not a name"]
    ttl: 60
    unlisted: true
    env: ["CUDA_VISIBLE_DEVICES=0"]
  "hub":
    cmd: llama-server -hf org/repo:Q4_K_M --port ${PORT} -ngl 99
    ttl: 0
  "vllm":
    cmd: python3 -m vllm.entrypoints.openai.api_server --model "Qwen/Qwen3-8B" --port 8999
    proxy: http://127.0.0.1:8999
    checkEndpoint: /v1/models
    env:
      - "HF_HOME=/srv/${MODEL_ID}"
    cmdStop: docker stop ${MODEL_ID}
  "nowhere":
    cmd: some-server
  "merged":
    <<: [&shared {ttl: 90, cmd: "llama-server -m /srv/models/other.gguf -c 2048"}, {ttl: 7, aliases: ["m"]}]
    ttl: 30
  "merged too": {<<: *shared}
groups:
  forever: {persistent: true, swap: false, members: ["hub"]}
hooks:
  on_startup:
    preload: ["gpt-4o-mini", "nobody"]
)");
  const ModelEntry& plain = model(config, "plain");
  EXPECT_EQ(plain.path, "/srv/models/my model.gguf");
  EXPECT_EQ(plain.context, 16384U);
  EXPECT_EQ(plain.args, (Strings{"--temp", "-0.5"}));
  EXPECT_EQ(plain.aliases, (Strings{"gpt-4o-mini"}));
  EXPECT_EQ(plain.ttl, std::chrono::minutes(1));
  EXPECT_EQ(plain.preload, PreloadStrategy::kEager);
  expect_line("# No counterpart: unlisted\n");
  expect_line("# hooks.on_startup.preload: there is no model \"nobody\" here.\n");
  expect_line("# No counterpart: env.");
  expect_line("# The alias \"not a name\" cannot be a model's name.\n");
  EXPECT_EQ(config.models_dirs, (Strings{"/srv/models", *hub_cache_folder()}))
      << "one is looked for in the hub's cache";

  EXPECT_EQ(model(config, "merged").path, "/srv/models/other.gguf");
  EXPECT_EQ(model(config, "merged").context, 2048U);
  EXPECT_EQ(model(config, "merged").ttl, std::chrono::seconds(30));
  EXPECT_EQ(model(config, "merged").aliases, (Strings{"m"}));

  const ModelEntry& hub = model(config, "org/repo:Q4_K_M");
  EXPECT_EQ(hub.aliases, (Strings{"hub"}));
  EXPECT_EQ(hub.args, (Strings{"-ngl", "99"}));
  EXPECT_EQ(hub.ttl, std::nullopt);
  EXPECT_EQ(hub.pinned, true);

  const ModelEntry& vllm = model(config, "vllm");
  EXPECT_EQ(vllm.command.argv, (Strings{"python3", "-m", "vllm.entrypoints.openai.api_server", "--model",
                                        "Qwen/Qwen3-8B", "--port", "${PORT}"}));
  EXPECT_EQ(vllm.command.environment, (Strings{"HF_HOME=/srv/vllm"}));
  EXPECT_EQ(vllm.command.health, "/v1/models");
  EXPECT_EQ(vllm.ttl, std::chrono::minutes(15));
  expect_line("# No counterpart: cmdStop\n");

  expect_line("# Not taken over: the model \"nowhere\"");
  expect_line("# No counterpart: startPort\n");
  EXPECT_EQ(config.log_level, "warn");
  EXPECT_EQ(config.load_timeout, std::chrono::minutes(5));
  EXPECT_EQ(config.api_keys.size(), 2U);
  EXPECT_EQ(toml_.find("${env.IMPORT_TEST_KEY}"), std::string::npos);
}

TEST_F(ImportTest, LlamaSwapsFiltersBecomePresets) {
  const Config config = loaded(import_llama_swap, R"(
macros: {temp: 0.7}
models:
  "qwen":
    cmd: llama-server --port ${PORT} -m /srv/models/qwen.gguf
    aliases: ["q"]
    filters:
      stripParams: "top_p, top_k,model"
      setParams:
        temperature: ${temp}
        seed: "${temp}"
        stop: ["a", "1"]
        nothing: ~
        stream: true
      setParamsByID:
        "${MODEL_ID}":
          chat_template_kwargs: {reasoning_effort: medium}
        "${MODEL_ID}:high":
          chat_template_kwargs: {reasoning_effort: high, budget: 10}
          temperature: 1.5
  "bare":
    cmd: llama-server --port ${PORT} -m /srv/models/bare.gguf
    aliases: ["b"]
    filters:
      setParamsByID:
        "bare:cold": {temperature: 0}
  "sent-as":
    cmd: server --port ${PORT}
    useModelName: openai/gpt-oss-120B
)");
  EXPECT_EQ(model(config, "qwen:model").path, "/srv/models/qwen.gguf");
  const api::Preset& qwen = preset(config, "qwen");
  EXPECT_EQ(qwen.model, "qwen:model");
  EXPECT_EQ(qwen.aliases, (Strings{"q"}));
  EXPECT_EQ(qwen.strip, (Strings{"top_p", "top_k"}));
  EXPECT_EQ(api::preset_json(qwen.set),
            R"({"chat_template_kwargs":{"reasoning_effort":"medium"},"seed":0.7,"stop":["a","1"],"temperature":0.7})");
  EXPECT_EQ(
      api::preset_json(preset(config, "qwen:high").set),
      R"({"chat_template_kwargs":{"budget":10,"reasoning_effort":"high"},"seed":0.7,"stop":["a","1"],"temperature":1.5})");
  expect_line("# No counterpart: stripParams (\"model\"");
  expect_line("# No counterpart: the parameter {\"nothing\":null} (TOML has no null).");
  expect_line("# No counterpart: the parameter {\"stream\":true} (");

  EXPECT_EQ(model(config, "bare").aliases, (Strings{"b"}));
  EXPECT_EQ(preset(config, "bare:cold").model, "bare");
  EXPECT_EQ(preset(config, "sent-as").model, "openai/gpt-oss-120B");
  EXPECT_EQ(model(config, "openai/gpt-oss-120B").command.argv, (Strings{"server", "--port", "${PORT}"}));
}

TEST_F(ImportTest, ABrokenYamlSaysWhere) {
  EXPECT_NE(error(import_llama_swap, "models:\n  a: [\n").find("line "), std::string::npos);
  EXPECT_NE(error(import_llama_swap, "x: 1\n").find("no models"), std::string::npos);
  EXPECT_NE(error(import_llama_swap, "- 1\n").find("no models"), std::string::npos);
}

TEST_F(ImportTest, WhatCallsItselfEnds) {
  const Config config = loaded(import_llama_swap, R"(
macros: {a: "${b}", b: "${a}"}
models:
  m:
    cmd: server --port ${PORT} ${a}
    filters:
      setParams: {x: &x [*x]}
)");
  EXPECT_EQ(config.models.size(), 1U);
}

}  // namespace
}  // namespace minerva::cli
