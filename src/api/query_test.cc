#include "api/query.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

TEST(Percent, DecodesAndEncodes) {
  EXPECT_EQ(*percent_decode("org%2Fmodel%2f"), "org/model/");
  EXPECT_EQ(*percent_decode("a+b"), "a+b");
  EXPECT_EQ(*percent_decode("%ff"), "\xff");
  for (const std::string_view bad : {"%", "%2", "%2g", "%g2", "%00", "a%"}) {
    EXPECT_FALSE(percent_decode(bad)) << bad;
  }
  EXPECT_EQ(percent_encode("org/a:b@c-._~"), "org%2Fa%3Ab%40c-._~");
  std::string every;
  for (int c = 1; c < 256; ++c) every.push_back(static_cast<char>(c));
  EXPECT_EQ(*percent_decode(percent_encode(every)), every);
}

TEST(Target, SplitsPathAndQuery) {
  const std::tuple<std::string_view, std::string_view, std::string_view> cases[] = {
      {"/v1/models", "/v1/models", ""},
      {"/v1/models?a=1?b", "/v1/models", "a=1?b"},
      {"/?", "/", ""},
      {"http://host:1/v1/x?y=1", "/v1/x", "y=1"},
      {"http://host", "/", ""},
      {"/a#b?c", "/a", ""},
      {"*", "*", ""},
      {"", "", ""},
  };
  for (const auto& [target, path, query] : cases) {
    EXPECT_EQ(split_target(target).path, path) << target;
    EXPECT_EQ(split_target(target).query, query) << target;
  }
}

TEST(QueryParameters, AreReadByName) {
  const Query query = *Query::parse("model=org%2Fa&wait=false&&force&dry_run=1&tail=20&wait=0&text=a+b%2B");
  EXPECT_EQ(*query.find("model"), "org/a");
  EXPECT_EQ(*query.find("wait"), "0");
  EXPECT_EQ(*query.find("text"), "a b+");
  EXPECT_EQ(query.find("nothing"), nullptr);
  EXPECT_EQ(query.count("nothing"), 0U);
  EXPECT_EQ(Query::parse("model=a&force&model=b")->count("model"), 2U);
  EXPECT_EQ(query.flag("wait", true), false);
  EXPECT_EQ(query.flag("force", false), true);
  EXPECT_EQ(query.flag("dry_run", false), true);
  EXPECT_EQ(query.flag("nothing", true), true);
  EXPECT_EQ(query.flag("tail", true).error().param, "tail");
  EXPECT_EQ(query.number("tail", 5, 100), 20U);
  EXPECT_EQ(query.number("nothing", 5, 100), 5U);
  EXPECT_EQ(query.number("tail", 5, 19).error().param, "tail");
  EXPECT_FALSE(query.number("model", 5, 100));
}

TEST(QueryParameters, AreBoundedAndChecked) {
  EXPECT_FALSE(Query::parse("a=%zz"));
  EXPECT_FALSE(Query::parse("%=1"));
  std::string many;
  for (std::size_t i = 0; i < Query::kMaxParameters; ++i) many += "a=1&";
  EXPECT_TRUE(Query::parse(many));
  EXPECT_FALSE(Query::parse(many + "a=1"));
}

TEST(ModelPath, FindsIdAndAction) {
  constexpr std::string_view kActions[] = {"load", "preload", "unpin", "logs"};
  const std::tuple<std::string_view, std::string_view, std::string_view> cases[] = {
      {"a", "a", ""},
      {"a/load", "a", "load"},
      {"org/a/preload", "org/a", "preload"},
      {"org%2Fa/unpin", "org/a", "unpin"},
      {"org%2Fload", "org/load", ""},
      {"org%2Fload/load", "org/load", "load"},
      {"org/a", "org/a", ""},
      {"a:7b@q4/logs", "a:7b@q4", "logs"},
      {"a/park", "a/park", ""},
      {"a%20b%20%28%C3%A4%29/load", "a b (\u00e4)", "load"},
  };
  for (const auto& [path, id, action] : cases) {
    const Result<ModelPath> parsed = parse_model_path(path, kActions);
    ASSERT_TRUE(parsed) << path;
    EXPECT_EQ(parsed->id, id) << path;
    EXPECT_EQ(parsed->action, action) << path;
  }
  for (const std::string_view bad :
       {"", "..", "a/../b", "a/..%2Fb", "%", "/load", "stats/load", "load", "sse", "unload/load", "a%0Ab"}) {
    EXPECT_FALSE(parse_model_path(bad, kActions)) << bad;
  }
}

TEST(NormalizedPath, HasSingleSlashesAndNoneAtItsEnd) {
  const std::pair<std::string_view, std::string_view> cases[] = {
      {"/v1/models", "/v1/models"},
      {"/v1/models/", "/v1/models"},
      {"//v1///models//", "/v1/models"},
      {"/", "/"},
      {"//", "/"},
      {"", ""},
      {"a", "a"},
      {"/a%2F/", "/a%2F"},
  };
  for (const auto& [path, normalized] : cases) EXPECT_EQ(normalized_path(path), normalized) << path;
}

}  // namespace
}  // namespace minerva::api
