#include "engine/state_line.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace minerva {
namespace {

constexpr std::string_view kHalf =
    R"(cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model"],"current":"text_model","value":0.5}})";

TEST(StateLine, LoadingWithOneStageHasItsValue) {
  const auto line = parse_state_line(kHalf);
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->state, StateLine::State::kLoading);
  ASSERT_TRUE(line->fraction.has_value());
  EXPECT_DOUBLE_EQ(*line->fraction, 0.5);
}

TEST(StateLine, StagesShareTheLoad) {
  const auto line = parse_state_line(
      R"(cmd_child_to_router:state:{"state":"loading","payload":{"stages":["text_model","mmproj_model"],)"
      R"("current":"mmproj_model","value":0.5}})");
  ASSERT_TRUE(line.has_value() && line->fraction.has_value());
  EXPECT_DOUBLE_EQ(*line->fraction, 0.75);
}

TEST(StateLine, LoadingWithoutProgress) {
  for (const std::string_view payload :
       {R"({})", R"({"stage":"mmproj_model"})", R"([])", R"("x")", R"({"stages":[],"current":"a","value":0.1})",
        R"({"stages":["a"],"current":"b","value":0.1})", R"({"stages":["a"],"current":"a","value":"0.1"})"}) {
    const auto line =
        parse_state_line(R"(cmd_child_to_router:state:{"state":"loading","payload":)" + std::string(payload) + "}");
    ASSERT_TRUE(line.has_value()) << payload;
    EXPECT_EQ(line->state, StateLine::State::kLoading);
    EXPECT_FALSE(line->fraction.has_value()) << payload;
  }
}

TEST(StateLine, ValuesOutOfRangeAreClamped) {
  for (const auto& [value, expected] : {std::pair{"7", 1.0}, std::pair{"-1", 0.0}, std::pair{"1e300", 1.0}}) {
    const auto line = parse_state_line(
        R"(cmd_child_to_router:state:{"state":"loading","payload":{"stages":["a"],"current":"a","value":)" +
        std::string(value) + "}}");
    ASSERT_TRUE(line.has_value() && line->fraction.has_value());
    EXPECT_DOUBLE_EQ(*line->fraction, expected);
  }
}

TEST(StateLine, Ready) {
  const auto line = parse_state_line(R"(cmd_child_to_router:state:{"state":"ready","payload":{"id":"x"}})");
  ASSERT_TRUE(line.has_value());
  EXPECT_EQ(line->state, StateLine::State::kReady);
}

TEST(StateLine, EverythingElseIsNone) {
  for (const std::string_view line :
       {"", "hello", "cmd_child_to_router:state:", "cmd_child_to_router:state:{", "cmd_child_to_router:state:[]",
        R"(cmd_child_to_router:state:{"state":7})", R"(cmd_child_to_router:state:{"state":"sleeping"})",
        R"( cmd_child_to_router:state:{"state":"ready"})", R"(log: cmd_child_to_router:state:{"state":"ready"})"}) {
    EXPECT_FALSE(parse_state_line(line).has_value()) << line;
  }
}

TEST(StateLine, DamagedLinesDoNoHarm) {
  std::mt19937 random(7);
  for (int i = 0; i < 20000; ++i) {
    std::string line(kHalf);
    for (int n = 0; n < 3; ++n) line[random() % line.size()] = static_cast<char>(random());
    const auto parsed = parse_state_line(line);
    if (parsed && parsed->fraction) {
      EXPECT_GE(*parsed->fraction, 0.0);
      EXPECT_LE(*parsed->fraction, 1.0);
    }
  }
  EXPECT_FALSE(parse_state_line("cmd_child_to_router:state:" + std::string(60000, '[')).has_value());
}

}  // namespace
}  // namespace minerva
