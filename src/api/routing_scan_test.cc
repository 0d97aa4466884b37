#include "api/routing_scan.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <random>
#include <utility>

namespace minerva::api {
namespace {

Result<Routing> scan_json(std::string_view body) {
  RoutingScan scan;
  scan.feed(body);
  return scan.finish();
}

constexpr std::string_view kBodies[] = {
    R"({"model":"a","stream":true})",
    R"( { "messages" : [ { "model" : "no", "x" : [ [ ] , { } ] } ] , "stream" : false , "model" : "late" } )",
    R"({"model":"first","model":"second"})",
    R"({"prompt":"quote \" backslash \\","x":"\\\\","model":"a"})",
    R"({"tricky":"\\\"model\":\"no\"","nested":{"s":"}]\"{[","t":"\\"},"model":"a"})",
    R"({"m\u006fdel":"org\/\u0061\t\u00e9\u20ac\ud83d\ude00","i":-1.5e+10,"t":true,"f":false,"z":null})",
    R"({"model":null,"stream":null})",
    R"({"model":"a","stream":true,"stream":false})",
    R"({"model":"a","model":null,"stream":1})",
    R"({"amodel":"x","modelx":"y","a_very_long_member_name_model":"z"})",
    "{}",
    " \r\n\t{}\n",
    R"({"model":""})",
    R"({"cache_prompt":false,"x":{"cache_prompt":true}})",
    R"({"cache_prompt":false,"cache_prompt":true,"y":{"cache_prompt":false}})",
    R"({"cache_prompt":"false"})",
    R"({"n":2,"n_cmpl":3,"id_slot":-1,"prompt":["a","b,c","]"],"input":[1,2,3]})",
    R"({"n":4,"n":null,"id_slot":0,"input":[[1,2],[3],{"prompt_string":"[,"}],"input":"x","content":[1,"a","b"]})",
    R"({"\u006e":2.5,"n_cmpl":true,"id_slot":-1.0e0,"documents":[ {"text":"a"} , "b" , ["c"] , "d" ],"texts":[]})",
    R"({"n":"3","id_slot":null,"prompt":{"prompt_string":["a","b"]},"texts":["a",null],"tools":[{"n":9,"id_slot":1}]})",
};

// Reads with a whole JSON parser the members that say how much of an engine the request takes.
unsigned slots_by(const nlohmann::json& json) {
  unsigned slots = 1;
  for (const char* name : {"n", "n_cmpl"}) {
    if (json.contains(name) && json[name].is_number()) slots = std::max(slots, json[name].get<unsigned>());
  }
  return slots;
}

unsigned prompts_by(const nlohmann::json& json) {
  unsigned prompts = 1;
  for (const char* name : {"prompt", "input", "content", "documents", "texts"}) {
    if (!json.contains(name) || !json[name].is_array()) continue;
    const bool several = std::all_of(json[name].begin(), json[name].end(), [](const auto& element) {
      return element.is_string() || element.is_structured();
    });
    if (several) prompts = std::max(prompts, static_cast<unsigned>(json[name].size()));
  }
  return prompts;
}

bool names_slot_by(const nlohmann::json& json) {
  return json.contains("id_slot") && !json["id_slot"].is_null() && json["id_slot"] != -1;
}

bool is_private_by(const nlohmann::json& json) {
  return json.contains("cache_prompt") && json["cache_prompt"] == false;
}

TEST(RoutingScan, AgreesWithAJsonParserAtEverySplit) {
  for (const std::string_view body : kBodies) {
    const nlohmann::json json = nlohmann::json::parse(body);
    std::optional<std::string> model;
    if (json.contains("model") && json["model"].is_string()) model = json["model"].get<std::string>();
    const bool stream = json.contains("stream") && json["stream"] == true;
    for (std::size_t first = 0; first <= body.size(); ++first) {
      for (const std::size_t second : {first, (first + body.size()) / 2, body.size()}) {
        RoutingScan scan;
        scan.feed(body.substr(0, first));
        scan.feed(body.substr(first, second - first));
        scan.feed(body.substr(second));
        EXPECT_TRUE(scan.complete()) << body;
        const Result<Routing> routing = scan.finish();
        ASSERT_TRUE(routing) << body << " at " << first << ": " << routing.error().message;
        EXPECT_EQ(routing->model, model) << body << " at " << first;
        EXPECT_EQ(routing->stream, stream) << body << " at " << first;
        EXPECT_EQ(routing->slots, slots_by(json)) << body << " at " << first;
        EXPECT_EQ(routing->prompts, prompts_by(json)) << body << " at " << first;
        EXPECT_EQ(routing->names_slot, names_slot_by(json)) << body << " at " << first;
        EXPECT_EQ(routing->is_private, is_private_by(json)) << body << " at " << first;
      }
    }
  }
}

TEST(RoutingScan, ReadsByteByByte) {
  for (const std::string_view body : kBodies) {
    RoutingScan scan;
    for (const char c : body) scan.feed(std::string_view(&c, 1));
    const Result<Routing> whole = scan_json(body);
    const Result<Routing> bytes = scan.finish();
    ASSERT_TRUE(whole && bytes) << body;
    EXPECT_EQ(bytes->model, whole->model) << body;
    EXPECT_EQ(bytes->stream, whole->stream) << body;
    EXPECT_EQ(bytes->slots, whole->slots) << body;
    EXPECT_EQ(bytes->prompts, whole->prompts) << body;
    EXPECT_EQ(bytes->names_slot, whole->names_slot) << body;
    EXPECT_EQ(bytes->is_private, whole->is_private) << body;
  }
}

TEST(RoutingScan, IsCompleteOnlyAtTheEndOfTheObject) {
  RoutingScan scan;
  scan.feed(R"({"model":"a")");
  EXPECT_FALSE(scan.complete());
  scan.feed("}");
  EXPECT_TRUE(scan.complete());
  scan.feed(" \n");
  EXPECT_TRUE(scan.finish());
}

TEST(RoutingScan, RefusesWhatIsNoObject) {
  for (const std::string_view body : {"",
                                      "  ",
                                      "[]",
                                      "\"model\"",
                                      "null",
                                      "x",
                                      "{",
                                      "{\"model\"",
                                      "{\"model\":",
                                      "{\"model\":\"a\"",
                                      "{\"a\":1,}",
                                      "{,}",
                                      "{\"a\" 1}",
                                      "{a:1}",
                                      "{\"a\":}",
                                      "{\"a\":1 2}",
                                      "{\"a\":tru}",
                                      "{\"a\":nul}",
                                      "{}{}",
                                      "{}x",
                                      "{\"a\":1]",
                                      "{\"a\":[1,2}",
                                      "{\"model\":\"\\x\"}",
                                      "{\"model\":\"\\u12g4\"}",
                                      "{\"model\":\"\\ud800\"}",
                                      "{\"model\":\"\\ud800a\"}",
                                      "{\"model\":\"\\ud800\\n\"}",
                                      "{\"model\":\"\\udc00\"}",
                                      "{\"model\":\"a\nb\"}"}) {
    const Result<Routing> routing = scan_json(body);
    // Whether the brackets of a nested value match is for the engine to find, but the object then never ends.
    ASSERT_FALSE(routing) << body;
    EXPECT_EQ(routing.error().code, ErrorCode::kInvalidArgument) << body;
    EXPECT_FALSE(routing.error().message.empty()) << body;
  }
}

TEST(RoutingScan, NamesTheFieldAtFault) {
  for (const std::string& body :
       {std::string(R"({"model":5})"), std::string(R"({"model":{"a":1}})"), std::string(R"({"model":["a"]})"),
        std::string(R"({"model":true})"), "{\"model\":\"" + std::string(RoutingScan::kMaxModel + 1, 'x') + "\"}"}) {
    const Result<Routing> routing = scan_json(body);
    ASSERT_FALSE(routing) << body;
    EXPECT_EQ(routing.error().param, "model") << body;
  }
  EXPECT_TRUE(scan_json("{\"model\":\"" + std::string(RoutingScan::kMaxModel, 'x') + "\"}"));
}

TEST(RoutingScan, BoundsNesting) {
  const auto nested = [](std::size_t depth) {
    return "{\"a\":" + std::string(depth, '[') + std::string(depth, ']') + ",\"model\":\"m\"}";
  };
  EXPECT_EQ(scan_json(nested(RoutingScan::kMaxDepth))->model, "m");
  EXPECT_FALSE(scan_json(nested(RoutingScan::kMaxDepth + 1)));
  RoutingScan scan;
  scan.feed("{\"a\":" + std::string(1'000'000, '['));
  EXPECT_TRUE(scan.failed());
}

// The scan must take what a JSON parser takes, and must read the same, however the body is split.
TEST(RoutingScan, SurvivesDamagedBodies) {
  std::mt19937 random(20240607);
  constexpr std::string_view kAlphabet = "\"\\{}[]:,tfn1-umodelsr \x01\x80\xff/";
  std::size_t accepted = 0;
  for (int round = 0; round < 60'000; ++round) {
    std::string body(kBodies[random() % std::size(kBodies)]);
    const std::size_t changes = random() % 4;
    for (std::size_t i = 0; i < changes && !body.empty(); ++i) {
      const std::size_t at = random() % body.size();
      switch (random() % 3) {
        case 0:
          body[at] = kAlphabet[random() % kAlphabet.size()];
          break;
        case 1:
          body.erase(at, 1 + random() % 3);
          break;
        default:
          body.insert(at, 1, kAlphabet[random() % kAlphabet.size()]);
      }
    }
    RoutingScan pieces;
    for (std::size_t at = 0; at < body.size();) {
      const std::size_t size = 1 + random() % 9;
      pieces.feed(std::string_view(body).substr(at, size));
      at += size;
    }
    const Result<Routing> split = pieces.finish();
    const Result<Routing> whole = scan_json(body);
    ASSERT_EQ(split.has_value(), whole.has_value()) << body;
    if (whole) {
      ASSERT_EQ(split->model, whole->model) << body;
      ASSERT_EQ(split->stream, whole->stream) << body;
      ASSERT_EQ(split->slots, whole->slots) << body;
      ASSERT_EQ(split->prompts, whole->prompts) << body;
      ASSERT_EQ(split->names_slot, whole->names_slot) << body;
    }
    const nlohmann::json json = nlohmann::json::parse(body, nullptr, false);
    if (!json.is_object() || (json.contains("model") && !json["model"].is_string() && !json["model"].is_null())) {
      continue;
    }
    if (!whole && (whole.error().param == "n" || whole.error().param == "n_cmpl")) continue;
    ++accepted;
    ASSERT_TRUE(whole) << body << ": " << whole.error().message;
    const bool named = json.contains("model") && json["model"].is_string();
    ASSERT_EQ(whole->model.has_value(), named) << body;
    if (named) {
      ASSERT_EQ(*whole->model, json["model"].get<std::string>()) << body;
    }
    ASSERT_EQ(whole->stream, json.contains("stream") && json["stream"] == true) << body;
    ASSERT_EQ(whole->slots, slots_by(json)) << body;
    ASSERT_EQ(whole->prompts, prompts_by(json)) << body;
    ASSERT_EQ(whole->names_slot, names_slot_by(json)) << body;
  }
  EXPECT_GT(accepted, 10'000U);
}

TEST(RoutingScan, SurvivesRandomBytes) {
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string body = round % 2 == 0 ? "{\"" : "{\"model\":\"";
    const std::size_t size = random() % 64;
    for (std::size_t i = 0; i < size; ++i) body.push_back(static_cast<char>(random()));
    const bool parses = nlohmann::json::accept(body);
    const Result<Routing> routing = scan_json(body);
    if (parses) {
      EXPECT_TRUE(routing || routing.error().param == "model") << body;
    }
  }
}

// ---- multipart ----------------------------------------------------------------------------------------------------

constexpr std::string_view kForm =
    "preamble\r\n--XyZ\r\n"
    "Content-Disposition: form-data; name=\"file\"; filename=\"a.wav\"\r\nContent-Type: audio/wav\r\n\r\n"
    "RIFF\r\n--Xy\r\r\n--XyQ name=\"model\"\r\n\r\nno\r\n"
    "\r\n--XyZ\r\ncontent-disposition: form-data; filename=model; name=model\r\n\r\nno\r\n--XyZ  \r\n"
    "X: y\r\nCONTENT-DISPOSITION:form-data;name = \"model\"\r\n\r\nwhis\r\n-per\r\n--XyZ\r\n"
    "Content-Disposition: form-data; name=\"stream\"\r\n\r\ntrue\r\n--XyZ\r\n"
    "Content-Disposition: form-data; name=\"id_slot\"\r\n\r\n0\r\n--XyZ\r\n"
    "Content-Disposition: form-data; name=\"n\"\r\n\r\n3\r\n--XyZ\r\n"
    "Content-Disposition: form-data; name=\"empty\"\r\n\r\n\r\n--XyZ--\r\nepilogue --XyZ";

Result<Routing> scan_form(std::string_view body, std::size_t split) {
  MultipartScan scan("XyZ");
  scan.feed(body.substr(0, split));
  scan.feed(body.substr(split));
  return scan.finish();
}

TEST(MultipartScan, FindsFieldsAtEverySplit) {
  for (std::size_t split = 0; split <= kForm.size(); ++split) {
    const Result<Routing> routing = scan_form(kForm, split);
    ASSERT_TRUE(routing) << split << ": " << routing.error().message;
    EXPECT_EQ(routing->model, "whis\r\n-per") << split;
    EXPECT_TRUE(routing->stream) << split;
    EXPECT_TRUE(routing->slots == 1 && routing->prompts == 1 && !routing->names_slot) << split;
  }
  MultipartScan scan("XyZ");
  for (const char c : kForm) scan.feed(std::string_view(&c, 1));
  EXPECT_EQ(scan.finish()->model, "whis\r\n-per");
}

TEST(MultipartScan, MayStartWithTheBoundaryAndHoldAnEmptyModel) {
  const std::string form = "--XyZ\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n\r\n--XyZ--";
  const Result<Routing> routing = scan_form(form, 0);
  ASSERT_TRUE(routing);
  EXPECT_EQ(routing->model, "");
  EXPECT_FALSE(scan_form("--XyZ--", 0)->model);
}

TEST(MultipartScan, RefusesWhatIsBroken) {
  for (std::size_t size = 0; size < kForm.find("--XyZ--") + 7; ++size) {
    EXPECT_FALSE(scan_form(kForm.substr(0, size), size / 2)) << size;
  }
  EXPECT_FALSE(scan_form("--XyZ\r\n" + std::string(MultipartScan::kMaxPartHead + 1, 'a') + "\r\n\r\n", 0));
  const std::string head = "--XyZ\r\nContent-Disposition: form-data; name=\"model\"\r\n\r\n";
  const Result<Routing> too_long = scan_form(head + std::string(MultipartScan::kMaxValue + 1, 'a') + "\r\n--XyZ--", 0);
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().param, "model");
  EXPECT_TRUE(scan_form(head + std::string(MultipartScan::kMaxValue, 'a') + "\r\n--XyZ--", 0));
}

TEST(MultipartScan, SplitsNeverMatterOnDamagedForms) {
  std::mt19937 random(11);
  constexpr std::string_view kAlphabet = "\r\n-XyZ\";=\\ \xff";
  for (int round = 0; round < 20'000; ++round) {
    std::string form(kForm);
    for (int i = 0; i < 5; ++i) form[random() % form.size()] = kAlphabet[random() % kAlphabet.size()];
    const Result<Routing> whole = scan_form(form, 0);
    const Result<Routing> split = scan_form(form, random() % form.size());
    ASSERT_EQ(whole.has_value(), split.has_value());
    if (whole) {
      ASSERT_EQ(whole->model, split->model);
      ASSERT_EQ(whole->stream, split->stream);
    }
  }
}

TEST(MakeScan, ChoosesByContentType) {
  const auto reads = [](std::string_view type, std::string_view body) {
    Result<std::unique_ptr<BodyScan>> scan = make_scan(type);
    if (!scan) return std::string("refused");
    (*scan)->feed(body);
    const Result<Routing> routing = (*scan)->finish();
    return routing && routing->model ? *routing->model : std::string("nothing");
  };
  const std::string form = "--b c\r\nContent-Disposition: form-data; name=model\r\n\r\nm\r\n--b c--";
  EXPECT_EQ(reads("Multipart/Form-Data; charset=x; boundary=\"b c\"", form), "m");
  EXPECT_EQ(reads("multipart/form-data; boundary=b c ; x=y", form), "m");
  EXPECT_EQ(reads("multipart/form-data", form), "refused");
  EXPECT_EQ(reads("multipart/form-data; boundary=", form), "refused");
  EXPECT_EQ(reads("multipart/form-data; boundary=" + std::string(201, 'x'), form), "refused");
  for (const std::string_view type : {"application/json", "", "application/x-www-form-urlencoded", "text/plain"}) {
    EXPECT_EQ(reads(type, "{\"model\":\"m\"}"), "m") << type;
  }
}

TEST(RoutingScan, EachAnswerThatIsAskedForTakesASlot) {
  const std::pair<std::string_view, unsigned> rows[] = {
      {R"({})", 1},
      {R"({"n":3})", 3},
      {R"({"n_cmpl":3})", 3},
      {R"({"n":2,"n_cmpl":5})", 5},
      {R"({"n_cmpl":2,"n":5})", 5},
      {R"({"n_cmpl":3e0,"tools":[{"n":9}]})", 3},
      {R"({"n":3,"n":2})", 2},
      {R"({"n":3,"n":null})", 1},
      {R"({"n":128})", 128},
      // The engine cuts it: it runs two answers.
      {R"({"n":2.9})", 2},
      // The engine refuses it.
      {R"({"n":"3"})", 1},
      {R"({"n":[3]})", 1},
      {R"({"n":{"n":3}})", 1},
      {R"({"n":true})", 1},
  };
  for (const auto& [body, slots] : rows) EXPECT_EQ(scan_json(body)->slots, slots) << body;
}

TEST(RoutingScan, CountsPromptsByTheKindsOfTheirElements) {
  const std::pair<std::string_view, unsigned> rows[] = {
      {R"({})", 1},
      {R"({"prompt":"a, b"})", 1},
      {R"({"prompt":[]})", 1},
      {R"({"prompt":["a"]})", 1},
      {R"({"prompt":["a","b"]})", 2},
      {R"({"prompt":[1,2,3]})", 1},
      {R"({"prompt":[ -1 , 2 ]})", 1},
      {R"({"prompt":[1,"a",2]})", 1},
      {R"({"prompt":["a",1]})", 1},
      {R"({"prompt":["a","b",1]})", 1},
      {R"({"prompt":[[1,2],[3,4],[5]]})", 3},
      {R"({"prompt":[[1,"a"],"b,",{"prompt_string":"c"}]})", 3},
      {R"({"prompt":{"prompt_string":["a","b"]}})", 1},
      {R"({"prompt":["a","b"],"prompt":"c"})", 1},
      {R"({"input":["a","b","c"],"documents":["a"]})", 3},
      {R"({"content":["a","b"]})", 2},
      {R"({"documents":["a",{"text":"b"}]})", 2},
      {R"({"texts":["a","b"]})", 2},
      {R"({"messages":["a","b"],"stop":["a","b"]})", 1},
      {R"({"x":{"prompt":["a","b"]}})", 1},
      {R"({"prompt":[["a","b"]],"x":["a","b"]})", 1},
  };
  for (const auto& [body, prompts] : rows) EXPECT_EQ(scan_json(body)->prompts, prompts) << body;
  std::string many = R"({"input":["")";
  for (unsigned i = 0; i < RoutingScan::kMaxPrompts + 10; ++i) many += R"(,"")";
  EXPECT_EQ(scan_json(many + "]}")->prompts, RoutingScan::kMaxPrompts);
}

TEST(RoutingScan, SeesASlotThatIsNamed) {
  for (const std::string_view body :
       {R"({"id_slot":0})", R"({"id_slot":1})", R"({"id_slot":-2})", R"({"id_slot":-1.5})",
        R"({"id_slot":-1,"id_slot":0})", R"({"id_slot":true})", R"({"id_slot":"-1"})", R"({"id_slot":[-1]})",
        R"({"id_slot":{}})", R"({"id_slot":4294967295})", R"({"id\u005fslot":1})",
        R"({"id_slot":-1.00000000000000000000000000000001})"}) {
    EXPECT_TRUE(scan_json(body)->names_slot) << body;
  }
  for (const std::string_view body :
       {R"({})", R"({"id_slot":-1})", R"({"id_slot":null})", R"({"id_slot":0,"id_slot":-1})", R"({"id_slot":-1.0})",
        R"({"id_slots":0})", R"({"x":{"id_slot":0}})"}) {
    EXPECT_FALSE(scan_json(body)->names_slot) << body;
  }
}

TEST(RoutingScan, SaysWhatItHasSeenBeforeTheEnd) {
  RoutingScan scan;
  scan.feed(R"({"n":3,"id_slot":0,"prompt":["a","b"],"x")");
  EXPECT_EQ(scan.seen().slots, 3U);
  EXPECT_EQ(scan.seen().prompts, 2U);
  EXPECT_TRUE(scan.seen().names_slot);
}

TEST(RoutingScan, SeesAResponseFormat) {
  EXPECT_TRUE(scan_json(R"({"model":"m","response_format":{}})")->response_format);
  EXPECT_FALSE(scan_json(R"({"model":"m","response_format":null})")->response_format);
  EXPECT_FALSE(scan_json(R"({"model":"m","tools":[{"response_format":{}}]})")->response_format);
}

}  // namespace
}  // namespace minerva::api
