#include "api/preset.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace minerva::api {
namespace {

std::vector<PresetValue> values(std::string_view json) {
  auto parsed = parse_preset_values(json);
  EXPECT_TRUE(parsed) << (parsed ? "" : parsed.error().message);
  return parsed ? *parsed : std::vector<PresetValue>{};
}

struct Made {
  std::vector<std::string> strip = {};
  std::string_view defaults = "{}";
  std::string_view set = "{}";
  std::string system = {};
};

Preset make(const Made& made) {
  Preset preset{"fast", {}, "base"};
  preset.strip = made.strip;
  preset.defaults = values(made.defaults);
  preset.set = values(made.set);
  preset.system = made.system;
  return preset;
}

Result<std::string> rewritten(const Preset& preset, std::string_view body, PromptForm form = PromptForm::kChat) {
  RoutingScan scan(/*note_members=*/true);
  for (const char c : body) scan.feed({&c, 1});  // offsets count from the beginning of the body, not of a piece
  EXPECT_TRUE(scan.finish());
  return rewrite(preset, form, body, *scan.members());
}

std::string text(const Preset& preset, std::string_view body, PromptForm form = PromptForm::kChat) {
  const auto result = rewritten(preset, body, form);
  EXPECT_TRUE(result) << (result ? "" : result.error().message);
  return result.value_or("");
}

TEST(PresetTest, OneThatSaysNothingChangesTheModelOnly) {
  const Preset preset = make({});
  EXPECT_EQ(text(preset, R"(  { "model" : "fast" ,"x":1.0, "y" : "\u00e9"
 } )"),
            R"(  { "model" : "base" ,"x":1.0, "y" : "\u00e9"
 } )");
  EXPECT_EQ(text(preset, "{ }"), "{ }");
  EXPECT_EQ(text(preset, R"({"model":null,"a":1e400,"model":"fast"})"), R"({"a":1e400,"model":"base"})");
}

TEST(PresetTest, StripsEachOccurrenceHoweverItIsWritten) {
  const Preset preset = make({.strip = {"top_k", "seed"}});
  EXPECT_EQ(text(preset, R"({"top_k":1, "a":2, "t\u006fp_k":[{"x":"}"}] , "b":3,"top_k":null})"), R"({"a":2, "b":3})");
  EXPECT_EQ(text(preset, R"({ "seed":1 })"), "{ }");
  EXPECT_EQ(text(preset, R"({"a":{"seed":1},"top_kk":1})"), R"({"a":{"seed":1},"top_kk":1})");
}

TEST(PresetTest, DefaultsCountWhereTheBodySaysNothing) {
  const Preset preset = make({.defaults = R"({"temperature":0.2,"stop":["a"]})"});
  EXPECT_EQ(text(preset, "{}"), R"({"temperature":0.2,"stop":["a"]})");
  EXPECT_EQ(text(preset, R"({"a":1})"), R"({"a":1,"temperature":0.2,"stop":["a"]})");
  EXPECT_EQ(text(preset, R"({"temperature":1,"stop":[]})"), R"({"temperature":1,"stop":[]})");
  EXPECT_EQ(text(preset, R"({"temperature":null,"stop":"x"})"), R"({"stop":"x","temperature":0.2})");
  // If a name comes several times, the last one counts.
  EXPECT_EQ(text(preset, R"({"temperature":1,"temperature":null,"stop":"x"})"), R"({"stop":"x","temperature":0.2})");
}

TEST(PresetTest, SetCountsWhateverTheBodySays) {
  const Preset preset = make({.set = R"({"temperature":0.5,"seed":"\"x\""})"});
  EXPECT_EQ(text(preset, R"({"temperature" : 1 , "a":[1, 2],"seed":3})"),
            R"({"temperature" : 0.5 , "a":[1, 2],"seed":"\"x\""})");
  EXPECT_EQ(text(preset, R"({"temperature":1,"temperature":2,"seed":0,"temper\u0061ture":3})"),
            R"({"seed":"\"x\"","temper\u0061ture":0.5})");
  EXPECT_EQ(text(preset, R"({"a":1})"), R"({"a":1,"temperature":0.5,"seed":"\"x\""})");
}

TEST(PresetTest, ObjectsMergeDeeply) {
  const Preset preset = make({.set = R"({"kwargs":{"think":false,"more":{"a":1,"b":{"c":2}}}})"});
  EXPECT_EQ(text(preset, R"({"kwargs": { "x": 1.50, "think" : true, "more":{"b":{"d":[ ]},"a":{}} }, "z":0})"),
            R"({"kwargs": { "x": 1.50, "think" : false, "more":{"b":{"d":[ ],"c":2},"a":1} }, "z":0})");
  EXPECT_EQ(text(preset, R"({"kwargs":{}})"), R"({"kwargs":{"think":false,"more":{"a":1,"b":{"c":2}}}})");
  // A value that is no object is replaced. A name that comes twice counts once.
  EXPECT_EQ(text(preset, R"({"kwargs":7})"), R"({"kwargs":{"think":false,"more":{"a":1,"b":{"c":2}}}})");
  EXPECT_EQ(text(preset, R"({"kwargs":{"think":1,"more":null,"think":2}})"),
            R"({"kwargs":{"more":{"a":1,"b":{"c":2}},"think":false}})");
  const auto broken = rewritten(preset, R"({"kwargs":{"a" 1}})");
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().param, "kwargs");
}

TEST(PresetTest, StripIsFirstThenDefaultThenSet) {
  const Preset preset = make({.strip = {"a"}, .defaults = R"({"a":{"x":1}})", .set = R"({"a":{"y":2}})"});
  EXPECT_EQ(text(preset, R"({"a":{"z":0}})"), R"({"a":{"x":1,"y":2}})");
}

TEST(PresetTest, NamesForTheSameCountAsOne) {
  const Preset set = make({.set = R"({"max_tokens":10})"});
  EXPECT_EQ(text(set, R"({"max_completion_tokens":99})"), R"({"max_completion_tokens":10})");
  EXPECT_EQ(text(set, R"({"max_tokens":1,"n_predict":99})"), R"({"n_predict":10})");
  EXPECT_EQ(text(set, "{}"), R"({"max_tokens":10})");
  EXPECT_EQ(text(set, "{}", PromptForm::kResponses), R"({"max_output_tokens":10})");
  const Preset set_native = make({.set = R"({"n_predict":10})"});
  EXPECT_EQ(text(set_native, "{}", PromptForm::kMessages), R"({"max_tokens":10})");
  EXPECT_EQ(text(set_native, "{}", PromptForm::kOther), R"({"n_predict":10})");
  const Preset fallback = make({.defaults = R"({"max_tokens":10})"});
  EXPECT_EQ(text(fallback, R"({"n_predict":99})"), R"({"n_predict":99})");
  EXPECT_EQ(text(fallback, R"({"n_predict":null})"), R"({"max_tokens":10})");
  const Preset strip = make({.strip = {"n_predict"}});
  EXPECT_EQ(text(strip, R"({"max_tokens":1,"max_completion_tokens":2,"x":3,"n_predict":4})"), R"({"x":3})");
}

TEST(PresetTest, TheSystemPromptIsForBodiesWithoutOne) {
  const Preset preset = make({.system = "Be \"brief\"."});
  EXPECT_EQ(text(preset, R"({"messages": [ {"role":"user","content":"hi"}]})"),
            R"({"messages": [{"role":"system","content":"Be \"brief\"."}, {"role":"user","content":"hi"}]})");
  EXPECT_EQ(text(preset, R"({"messages":[ ]})"), R"({"messages":[{"role":"system","content":"Be \"brief\"."} ]})");
  for (const std::string_view same :
       {R"({"messages":[{"role":"system","content":"x"},{"role":"user","content":"hi"}]})",
        R"({"messages":[{"content":[{"role":"x"}],"role":"user"},{"content":"x","r\u006fle":"develop\u0065r"}]})",
        R"({"messages":"hi"})", R"({"messages":null})", R"({"prompt":"hi"})", R"({"a":1})"}) {
    EXPECT_EQ(text(preset, same), same);
  }
  // A message that quotes a role has no such role.
  const std::string quoted = R"({"role":"user","content":"{\"role\":\"system\"}","x":{"role":"system"}})";
  EXPECT_EQ(text(preset, R"({"messages":[)" + quoted + "]}"),
            R"({"messages":[{"role":"system","content":"Be \"brief\"."},)" + quoted + "]}");
}

TEST(PresetTest, TheSystemPromptIsWhereTheApiHasIt) {
  const Preset preset = make({.system = "Brief."});
  EXPECT_EQ(text(preset, R"({"system":null,"messages":[]})", PromptForm::kMessages),
            R"({"messages":[],"system":"Brief."})");
  EXPECT_EQ(text(preset, R"({"system":"mine","messages":[]})", PromptForm::kMessages),
            R"({"system":"mine","messages":[]})");
  EXPECT_EQ(text(preset, R"({"input":"hi"})", PromptForm::kResponses), R"({"input":"hi","instructions":"Brief."})");
  EXPECT_EQ(text(preset, R"({"instructions":[],"input":"hi"})", PromptForm::kResponses),
            R"({"instructions":[],"input":"hi"})");
  EXPECT_EQ(text(preset, R"({"input":[{"role":"developer","content":"x"}]})", PromptForm::kResponses),
            R"({"input":[{"role":"developer","content":"x"}]})");
  EXPECT_EQ(text(preset, R"({"prompt":"hi"})", PromptForm::kOther), R"({"prompt":"hi"})");
}

TEST(PresetTest, PathsTellTheForm) {
  for (const std::string_view path : {"/v1/chat/completions", "/chat/completions", "/v1/chat/completions/input_tokens",
                                      "/apply-template", "/v1/chat/completions/"}) {
    EXPECT_EQ(prompt_form(path), PromptForm::kChat) << path;
  }
  EXPECT_EQ(prompt_form("/v1/messages"), PromptForm::kMessages);
  EXPECT_EQ(prompt_form("/v1/messages/count_tokens"), PromptForm::kMessages);
  EXPECT_EQ(prompt_form("/v1/responses"), PromptForm::kResponses);
  EXPECT_EQ(prompt_form("/v1/responses/input_tokens"), PromptForm::kResponses);
  for (const std::string_view path : {"/v1/completions", "/completion", "/infill", "/v1/embeddings", "/tokenize"}) {
    EXPECT_EQ(prompt_form(path), PromptForm::kOther) << path;
  }
}

TEST(PresetTest, SetsNothingThatARequestMayNotSay) {
  for (const std::string_view json :
       {R"({"model":"x"})", R"({"messages":[]})", R"({"stream":true})", R"({"n":1000000})", R"({"n_probs":-1})",
        R"({"id_slot":0})", "[]", "1", R"({"max_tokens":1,"n_predict":1})"}) {
    EXPECT_FALSE(parse_preset_values(json)) << json;
  }
  std::string deep = "1";
  for (int i = 0; i < 40; ++i) deep = R"({"a":)" + deep + "}";
  EXPECT_FALSE(parse_preset_values(deep));
  EXPECT_FALSE(check_strip({"top_k", "stream"}));
  EXPECT_TRUE(check_strip({"top_k", "id_slot"}));
  EXPECT_TRUE(parse_preset_values(R"({"id_slot":-1})"));
}

TEST(PresetTest, WhatIsMergedKeepsTheLimits) {
  const Preset preset = make({.set = R"({"response_format":{"type":"json_object"}})"});
  const std::string padding(64 * 1024 - 20, 'x');
  const std::string body = R"({"response_format":{"a":")" + padding + R"("}})";
  const auto result = rewritten(preset, body);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().param, "response_format");
}

TEST(PresetTest, ABodyOfManyMembersIsRefused) {
  std::string body = R"({"model":"fast")";
  for (std::size_t i = 1; i < BodyScan::kMaxMembers; ++i) body += R"(,"a":1)";
  EXPECT_TRUE(rewritten(make({}), body + "}"));
  EXPECT_FALSE(rewritten(make({}), body + R"(,"a":1})"));
}

TEST(PresetTest, ValuesAreTheJsonTheyCameFrom) {
  const std::string_view json = R"({"a":{"b":[1,2.5,"x"],"c":{}},"d":null})";
  EXPECT_EQ(preset_json(values(json)), json);
}

}  // namespace
}  // namespace minerva::api
