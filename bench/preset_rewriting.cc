// The cost of a preset for one request: to rewrite a chat of 100 kB, as one message and as many; and to scan that chat
// with and without notes of its members. Also what it costs to scan 100 kB of inputs, and of token ids.
//
// usage: cmake --build build/release --target preset_rewriting && build/release/bin/preset_rewriting
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "api/preset.h"

namespace minerva {
namespace {

constexpr std::size_t kBytes = 100'000;
constexpr std::string_view kText =
    R"(The quick brown fox said \"no\" and went on: it jumped over the lazy dog, once, twice, and was gone.\n)";

// A chat of that many messages, none of which is a system prompt.
std::string chat(std::size_t messages) {
  std::string body = R"({"model":"fast","stream":true,"temperature":0.7,"top_k":40,"messages":[)";
  for (std::size_t i = 0; i < messages; ++i) {
    std::string text;
    while (text.size() < kBytes / messages) text += kText;
    body +=
        fmt::format(R"({}{{"role":"{}","content":"{}"}})", i == 0 ? "" : ",", i % 2 == 0 ? "user" : "assistant", text);
  }
  return body + R"(],"chat_template_kwargs":{"lang":"en"},"max_tokens":100})";
}

api::Preset preset() {
  api::Preset preset{"fast", {}, "base"};
  preset.strip = {"top_k"};
  preset.defaults = api::parse_preset_values(R"({"seed":7,"temperature":0.2})").value();
  preset.set = api::parse_preset_values(R"({"chat_template_kwargs":{"enable_thinking":false},"n_predict":50})").value();
  preset.system = "Answer briefly.";
  return preset;
}

void rewrite(benchmark::State& state) {
  const std::string body = chat(static_cast<std::size_t>(state.range(0)));
  const api::Preset fast = preset();
  api::RoutingScan scan(/*note_members=*/true);
  scan.feed(body);
  for (auto _ : state) {
    benchmark::DoNotOptimize(api::rewrite(fast, api::PromptForm::kChat, body, *scan.members()));
  }
}

void scan_short_chat(benchmark::State& state) {
  constexpr std::string_view kBody =
      R"({"model":"fast","messages":[{"role":"user","content":"Hello"}],"stream":true,"temperature":0.7,"max_tokens":100,"n":1})";
  for (auto _ : state) {
    api::RoutingScan scan;
    scan.feed(kBody);
    benchmark::DoNotOptimize(scan.finish());
  }
}

void scan(benchmark::State& state, bool note_members) {
  const std::string body = chat(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    api::RoutingScan scan(note_members);
    scan.feed(body);
    benchmark::DoNotOptimize(scan.finish());
  }
}

// Scans a list that repeats the element up to 100 kB.
void scan_list(benchmark::State& state, std::string_view name, std::string_view element) {
  std::string body = fmt::format(R"({{"model":"fast","{}":[)", name);
  for (std::string_view comma; body.size() < kBytes; comma = ",") body += fmt::format("{}{}", comma, element);
  body += R"(],"max_tokens":100})";
  for (auto _ : state) {
    api::RoutingScan scan;
    scan.feed(body);
    benchmark::DoNotOptimize(scan.finish());
  }
}

// The number in a row's name, "/100", is the number of messages.
BENCHMARK(rewrite)->Arg(1)->Arg(100)->Arg(500);
BENCHMARK(scan_short_chat);
BENCHMARK_CAPTURE(scan, plain, false)->Arg(1)->Arg(100)->Arg(500);
BENCHMARK_CAPTURE(scan, with_notes, true)->Arg(1)->Arg(100)->Arg(500);
BENCHMARK_CAPTURE(scan_list, token_ids, "prompt", "12345");
BENCHMARK_CAPTURE(scan_list, lists_of_token_ids, "input", "[1234,5678,90123]");
BENCHMARK_CAPTURE(scan_list, words, "input", R"("word")");

}  // namespace
}  // namespace minerva

BENCHMARK_MAIN();
