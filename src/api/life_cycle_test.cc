#include "api/life_cycle.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "golden/golden.h"

namespace minerva::api {
namespace {

using std::chrono::milliseconds;

// One member per line, so that a change of the golden file is easy to see. Fails when `text` is not one JSON value.
std::string pretty(const std::string& text) { return nlohmann::ordered_json::parse(text).dump(2) + "\n"; }

TEST(LoadBody, ReadsWhatIsThere) {
  EXPECT_FALSE(parse_load_body("", "a")->model_path);
  EXPECT_FALSE(parse_load_body(" \r\n", "a")->model_path);
  EXPECT_FALSE(parse_load_body("{}", "a")->model_path);
  EXPECT_FALSE(parse_load_body(R"({"priority":[1]})", "a")->model_path);
  EXPECT_EQ(parse_load_body(R"({"model_id":"org/a","model_path":"/m/a.gguf"})", "org/a")->model_path, "/m/a.gguf");
}

TEST(LoadBody, RefusesWithTheFieldAtFault) {
  const std::tuple<std::string, std::string> cases[] = {
      {"[]", ""},
      {"\"a\"", ""},
      {"{", ""},
      {"null", ""},
      {R"({"model_id":7})", "model_id"},
      {R"({"model_id":"b"})", "model_id"},
      {R"({"model_id":null})", "model_id"},
      {R"({"model_path":["x"]})", "model_path"},
      {R"({"model_path":null})", "model_path"},
      {R"({"model_path":""})", "model_path"},
      {R"({"model_path":"a\u0000b"})", "model_path"},
  };
  for (const auto& [body, param] : cases) {
    const Result<LoadBody> parsed = parse_load_body(body, "a");
    ASSERT_FALSE(parsed) << body;
    EXPECT_EQ(parsed.error().code, ErrorCode::kInvalidArgument) << body;
    EXPECT_EQ(parsed.error().param, param) << body;
  }
}

TEST(LifeCycle, Answers) {
  LifeCycleAnswer load{"loaded", "a", Residency::kHot, milliseconds(812), {"b"}, Bytes::mib(5120)};
  expect_golden("load.json", pretty(life_cycle_json(load)));
  load.gave_way = {{"context", std::uint64_t{8192}, std::uint64_t{2048}}, {"weights", "repacked", "mapped"}};
  expect_golden("load_gave_way.json", pretty(life_cycle_json(load)));
  LifeCycleAnswer unload{"unloaded", "a", Residency::kCold, {}, {}, {}};
  expect_golden("unload.json", pretty(life_cycle_json(unload)));
  LifeCycleAnswer park{"parked", "a", Residency::kParked, milliseconds(23), {}, Bytes::mib(60)};
  expect_golden("park.json", pretty(life_cycle_json(park)));
  const PlanAnswer plan{.model = "a",
                        .state = Residency::kCold,
                        .plan = {.possible = true,
                                 .evict = {"b", "c"},
                                 .footprint = Bytes::mib(700),
                                 .free = Bytes::mib(100),
                                 .reason = "\"b\" and \"c\" are idle",
                                 .expected_load_time = milliseconds(640),
                                 .cost = milliseconds(1200),
                                 .confidence = Confidence::kMeasured}};
  expect_golden("load_dry_run.json", pretty(plan_json(plan)));
}

TEST(LifeCycle, WhatWasCleared) {
  EXPECT_EQ(clear_json({.stats = true}), R"({"success":true,"message":"cleared: statistics","stopped":[]})");
  EXPECT_EQ(
      clear_json({.stats = true,
                  .history = true,
                  .images = true,
                  .conversations = true,
                  .metadata = true,
                  .stopped = {"a", "b"}}),
      R"({"success":true,"message":"cleared: statistics, history, images, conversations, metadata; stopped a, b",)"
      R"("stopped":["a","b"]})");
}

TEST(Stats, AreExactAndLeaveColdModelsOut) {
  StatsAnswer stats;
  stats.loaded = {"a", "b"};
  ModelView hot;
  hot.id = "a";
  hot.residency = Residency::kHot;
  hot.memory = Bytes::mib(700) + Bytes(600'000);
  hot.leases = 2;
  hot.access_count = 12;
  hot.since_last_use = milliseconds(1549);
  hot.pinned = true;
  hot.can_park = true;
  hot.image = Bytes::mib(52) + Bytes(600'000);
  hot.parks = 7;
  hot.wakes = 7;
  ModelView preloaded;
  preloaded.id = "b";
  preloaded.residency = Residency::kHot;
  preloaded.memory = Bytes::mib(300);
  preloaded.preloaded = true;
  ModelView cold;
  cold.id = "c";
  ModelView loading;
  loading.id = "d";
  loading.residency = Residency::kLoading;
  loading.memory = Bytes::mib(100);
  loading.waiting = 3;
  ModelView resting;
  resting.id = "e";
  resting.residency = Residency::kQuarantined;
  resting.breaker = BreakerState::kOpen;
  resting.tried_again_in = milliseconds(3210);
  ModelView half_open;
  half_open.id = "f";
  half_open.breaker = BreakerState::kHalfOpen;
  ModelView parked;
  parked.id = "g";
  parked.residency = Residency::kParked;
  parked.memory = Bytes::mib(61);
  parked.image = Bytes::mib(652);
  parked.access_count = 4;
  parked.since_last_use = milliseconds(60'000);
  parked.can_park = true;
  parked.parks = 3;
  parked.wakes = 2;
  ModelView waking = parked;
  waking.id = "h";
  waking.residency = Residency::kWaking;
  waking.memory = Bytes::mib(400);
  waking.waiting = 1;
  // The model was parked once. That alone is no reason to show it.
  ModelView stopped;
  stopped.id = "i";
  stopped.parks = 1;
  stats.models = {hot, preloaded, cold, loading, resting, half_open, parked, waking, stopped};
  stats.cache = {145, 8, 2, 1};
  stats.policy = "lru";
  stats.memory_budget = Bytes::gib(2);
  stats.reserved_memory = Bytes::mib(1561);
  expect_golden("stats.json", pretty(stats_json(stats)));
}

TEST(Stats, ShowThePoolsOfAMachineWithDevices) {
  StatsAnswer stats;
  stats.pools = {{"host", Bytes::gib(2), Bytes::gib(2), Bytes::mib(300)}};
  ModelView hot;
  hot.id = "a";
  hot.residency = Residency::kHot;
  hot.by_pool.set(0, Bytes::mib(300));
  hot.by_pool.set(2, Bytes::mib(1700));
  stats.models = {hot};
  const nlohmann::ordered_json without = nlohmann::ordered_json::parse(stats_json(stats));
  EXPECT_FALSE(without.contains("pools"));
  EXPECT_FALSE(without["models"][0].contains("pools_mb"));
  stats.pools.push_back({"CUDA0", Bytes::gib(20), Bytes::gib(18), Bytes()});
  stats.pools.push_back({"CUDA1", Bytes::gib(10), Bytes::gib(10), Bytes::mib(1700)});
  const nlohmann::ordered_json with = nlohmann::ordered_json::parse(stats_json(stats));
  EXPECT_EQ(with["pools"].dump(), R"([{"id":"host","memory_mb":300,"memory_budget_mb":2048,"available_mb":2048},)"
                                  R"({"id":"CUDA0","memory_mb":0,"memory_budget_mb":20480,"available_mb":18432},)"
                                  R"({"id":"CUDA1","memory_mb":1700,"memory_budget_mb":10240,"available_mb":10240}])");
  EXPECT_EQ(with["models"][0]["pools_mb"].dump(), R"({"host":300,"CUDA0":0,"CUDA1":1700})");
}

TEST(Models, AreOpenAisListWithMore) {
  ModelAnswer known{
      "smollm2-135m",  1'700'000'000, Residency::kLoading, Bytes(105'454'432), 134'515'008, "Q4_K_M", 8192,
      {"gpt-4o-mini"}, 0.426,         std::nullopt};
  known.next_preload = "2026-11-30T08:00:00+01:00";
  known.next_unload = "2026-11-30T20:00:00+01:00";
  known.name = "SmolLM2 135M (\u00e4)";
  known.status = {"loading"};
  known.architecture = "llama";
  known.input_modalities = {"text", "image"};
  known.companions = {"mmproj-f16.gguf"};
  known.runs_here = true;
  ModelAnswer unknown;
  unknown.id = "x";
  unknown.runs_here = false;
  unknown.why_not = "The file is no model that can be loaded.";
  unknown.failure = Error{ErrorCode::kInvalidModel, "\"x\" is \xff no model.", "", 0};
  unknown.status.exit_code = 1;
  ModelAnswer preset;
  preset.id = "smollm2-135m:fast";
  preset.preset_of = "smollm2-135m";
  expect_golden("models.json",
                pretty(models_json({known, unknown, preset},
                                   {"/m/a.imatrix.gguf is not listed: it is an importance matrix, and no model"})));
  expect_golden("model.json", pretty(model_json(known)));
}

}  // namespace
}  // namespace minerva::api
