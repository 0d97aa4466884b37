#include "api/field_limits.h"

#include <gtest/gtest.h>

#include "api/routing_scan.h"

namespace minerva::api {
namespace {

// The field for which a body is refused; "" if it is accepted.
std::string refused_for(const std::string& body) {
  std::string param;
  for (const std::size_t step : {body.size(), std::size_t{7}}) {
    RoutingScan scan;
    for (std::size_t at = 0; at < body.size(); at += step) scan.feed(std::string_view(body).substr(at, step));
    const Result<Routing> routing = scan.finish();
    const std::string found = routing ? "" : routing.error().param.empty() ? "?" : routing.error().param;
    if (step == body.size()) param = found;
    EXPECT_EQ(found, param) << "it depends on the pieces: " << body.substr(0, 100);
  }
  return param;
}

std::string with(const std::string& field, const std::string& value) {
  return R"({"model":"a",")" + field + "\":" + value + R"(,"stream":true})";
}

TEST(FieldLimits, NumbersAreBoundedAndNamed) {
  struct Case {
    std::string field;
    std::vector<std::string> good;
    std::vector<std::string> bad;
  };
  const std::vector<Case> cases = {
      {"n", {"1", "128", "1.0", "null"}, {"0", "-1", "129", "1e300", "-1e300", "99999999999999999999"}},
      {"n_predict", {"-1", "0", "2147483647"}, {"-2", "2147483648", "1e10"}},
      {"max_tokens", {"-1", "16"}, {"-2", "2147483648"}},
      {"max_completion_tokens", {"16"}, {"-2", "1e99"}},
      {"n_keep", {"-1", "0", "4096"}, {"-2", "2147483647"}},
      {"n_discard", {"0", "4096"}, {"-1", "2147483647"}},
      {"n_probs", {"0", "20", "1000"}, {"-1", "1001"}},
      {"logprobs", {"true", "false", "5", "null"}, {"-1", "100000"}},
      {"top_logprobs", {"20"}, {"-1"}},
      {"min_keep", {"0", "64"}, {"-1", "2147483647"}},
      {"repeat_last_n", {"-1", "64"}, {"-2", "2147483647"}},
      {"dry_penalty_last_n", {"-1", "64"}, {"-2", "2147483647"}},
      {"top_n", {"0", "5"}, {"-1", "-2147483648"}},
  };
  for (const Case& c : cases) {
    for (const std::string& value : c.good) EXPECT_EQ(refused_for(with(c.field, value)), "") << c.field << value;
    for (const std::string& value : c.bad) EXPECT_EQ(refused_for(with(c.field, value)), c.field) << value;
    // The same name inside a message has no meaning, and neither has another name.
    EXPECT_EQ(refused_for(R"({"model":"a","x":{")" + c.field + "\":" + c.bad[0] + "}}"), "");
    EXPECT_EQ(refused_for(with("x" + c.field, c.bad[0])), "");
  }
  EXPECT_EQ(refused_for(R"({"model":"a","\u006e":-5})"), "n");
}

TEST(FieldLimits, AnErrorSaysWhatIsAllowed) {
  RoutingScan scan;
  scan.feed(with("n", "-5"));
  const Result<Routing> routing = scan.finish();
  ASSERT_FALSE(routing.has_value());
  EXPECT_EQ(routing.error().code, ErrorCode::kInvalidArgument);
  EXPECT_EQ(routing.error().message, "\"n\" must be a number from 1 to 128.");
}

std::string repeated(const std::string& text, std::size_t count) {
  std::string result;
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

TEST(FieldLimits, GrammarsAreBoundedInSizeAndDepth) {
  const auto grammar = [](const std::string& text) { return with("grammar", "\"" + text + "\""); };
  EXPECT_EQ(refused_for(grammar("root ::= " + repeated("(", 64) + repeated(")", 64))), "");
  EXPECT_EQ(refused_for(grammar("root ::= " + repeated("(", 65) + repeated(")", 65))), "grammar");
  EXPECT_EQ(refused_for(grammar("root ::= " + repeated("(", 60'000))), "grammar");
  EXPECT_EQ(refused_for(grammar("root ::= " + repeated("\\u0028", 65))), "grammar");
  EXPECT_EQ(refused_for(grammar("root ::= " + repeated("(a) ", 1000))), "");
  // Text that only looks like a group.
  EXPECT_EQ(refused_for(grammar("root ::= \\\"" + repeated("(", 100) + "\\\" [" + repeated("(", 100) + "]\\n# " +
                                repeated("(", 100) + "\\n")),
            "");
  EXPECT_EQ(refused_for(grammar("root ::= \\\"\\\\\\\"(\\\" [\\\\](] " + repeated("(", 64))), "");
  EXPECT_EQ(refused_for(grammar("root ::= \\\"\\\\\\\"(\\\" [\\\\](] " + repeated("(", 65))), "grammar");
  EXPECT_EQ(refused_for(grammar(repeated("x", 64 * 1024))), "");
  EXPECT_EQ(refused_for(grammar(repeated("x", 64 * 1024 + 1))), "grammar");
  EXPECT_EQ(refused_for(with("grammar", "null")), "");
}

TEST(FieldLimits, SchemasAndListsAreBounded) {
  for (const std::string field :
       {"json_schema", "response_format", "tools", "text", "stop", "samplers", "logit_bias"}) {
    const FieldLimit* const limit = find_field_limit(field);
    ASSERT_NE(limit, nullptr) << field;
    const std::size_t depth = limit->max_depth;
    EXPECT_EQ(refused_for(with(field, repeated("[", depth) + repeated("]", depth))), "") << field;
    EXPECT_EQ(refused_for(with(field, repeated("[", depth + 1) + repeated("]", depth + 1))), field);
    EXPECT_EQ(refused_for(with(field, "[\"" + repeated("x", limit->max_bytes) + "\"]")), field);
    EXPECT_EQ(refused_for(with(field, "\"" + repeated("x", limit->max_bytes / 2) + "\"")), "") << field;
    EXPECT_EQ(refused_for(with(field, "\"" + repeated("x", limit->max_bytes + 1) + "\"")), field);
  }
  const auto object = [](std::size_t members) {
    std::string text = "{\"x\":[1,2,3]";
    for (std::size_t i = 1; i < members; ++i) text += ",\"x" + std::to_string(i) + "\":{\"y\":1}";
    return text + "}";
  };
  for (const std::string field : {"json_schema", "response_format", "tools", "text"}) {
    const std::size_t most = find_field_limit(field)->max_members;
    EXPECT_EQ(refused_for(with(field, object(most))), "") << field;
    EXPECT_EQ(refused_for(with(field, object(most + 1))), field);
    EXPECT_EQ(refused_for(with(field, "[" + object(most) + "," + object(most) + "]")), "") << field;
    EXPECT_EQ(refused_for(with(field, "[" + object(most) + ",{\"z\":" + object(most + 1) + "}]")), field);
    EXPECT_EQ(refused_for(with(field, "[" + repeated("1,", 2000) + "1]")), "") << field;
  }
  // Each field is measured by itself, whatever came before.
  const std::string half = "\"" + repeated("x", 40'000) + "\"";
  EXPECT_EQ(refused_for(R"({"model":"a","stop":)" + half + R"(,"json_schema":)" + half + "}"), "");
  EXPECT_EQ(refused_for(R"({"model":"a","stop":)" + half + R"(,"messages":")" + repeated("x", 100'000) + "\"}"), "");
}

}  // namespace
}  // namespace minerva::api
