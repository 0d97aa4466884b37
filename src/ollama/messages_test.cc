#include "ollama/messages.h"

#include <gtest/gtest.h>

namespace minerva::ollama {
namespace {

TEST(MessagesTest, CallsOfToolsGetIdsAndTextForArguments) {
  const auto messages = openai_messages(Json::parse(R"([
      {"role":"user","content":"Weather?"},
      {"role":"assistant","content":"","tool_calls":[
          {"function":{"name":"a","arguments":{"x":1}}},{"function":{"name":"b","arguments":{}}}]},
      {"role":"tool","tool_name":"b","content":"2"},
      {"role":"tool","content":"1"}])"));
  ASSERT_TRUE(messages);
  EXPECT_EQ(*messages, Json::parse(R"([
      {"role":"user","content":"Weather?"},
      {"role":"assistant","content":"","tool_calls":[
          {"id":"call_0","type":"function","function":{"name":"a","arguments":"{\"x\":1}"}},
          {"id":"call_1","type":"function","function":{"name":"b","arguments":"{}"}}]},
      {"role":"tool","content":"2","tool_call_id":"call_1","name":"b"},
      {"role":"tool","content":"1","tool_call_id":"call_0"}])"));
}

TEST(MessagesTest, AnIdThatIsThereIsKept) {
  const auto messages = openai_messages(Json::parse(R"([
      {"role":"assistant","tool_calls":[{"id":"z","function":{"name":"a","arguments":{}}}]},
      {"role":"tool","tool_call_id":"z","content":"1"}])"));
  ASSERT_TRUE(messages);
  EXPECT_EQ((*messages)[0]["tool_calls"][0]["id"], "z");
  EXPECT_EQ((*messages)[1]["tool_call_id"], "z");
}

TEST(MessagesTest, ThinkingGoesBackAsReasoning) {
  const auto messages = openai_messages(Json::parse(R"([{"role":"assistant","content":"a","thinking":"b"}])"));
  EXPECT_EQ((*messages)[0]["reasoning_content"], "b");
}

TEST(MessagesTest, ImagesAreDataByTheirFirstBytes) {
  EXPECT_EQ(image_url("iVBORw0KGgoAAAA"), "data:image/png;base64,iVBORw0KGgoAAAA");
  EXPECT_EQ(image_url("/9j/4AAQ"), "data:image/jpeg;base64,/9j/4AAQ");
  EXPECT_EQ(image_url("UklGRhoAAABXRUJQ"), "data:image/webp;base64,UklGRhoAAABXRUJQ");
  EXPECT_EQ(image_url("data:image/png;base64,R0lGOD"), "data:image/gif;base64,R0lGOD");
  const auto content = content_of("What?", nullptr, "x");
  EXPECT_EQ(*content, "What?");
  const Json images = Json::array({"/9j/4AAQ"});
  EXPECT_EQ((*content_of("What?", &images, "x"))[1], (Json{{"type", "text"}, {"text", "What?"}}));
}

TEST(MessagesTest, AnImageIsNeverFetched) {
  for (const char* elsewhere : {"http://example.org/a.png", "file:///etc/passwd", "data:text"}) {
    EXPECT_TRUE(image_url(elsewhere).starts_with("data:image/jpeg;base64,")) << elsewhere;
  }
}

TEST(MessagesTest, WrongOnesAreNamed) {
  const std::pair<const char*, const char*> cases[] = {
      {"{}", "messages"},
      {"[7]", "messages[0]"},
      {R"([{"content":"x"}])", "messages[0]"},
      {R"([{"role":"user","content":7}])", "messages[0]"},
      {R"([{"role":"user","content":"x","images":"y"}])", "messages[0].images"},
      {R"([{"role":"user","images":[7]}])", "messages[0].images"},
      {R"([{"role":"assistant","tool_calls":[{"name":"x"}]}])", "messages[0].tool_calls"},
      {R"([{"role":"assistant","tool_calls":{"a":1}}])", "messages[0].tool_calls"}};
  for (const auto& [text, place] : cases) {
    const auto messages = openai_messages(Json::parse(text));
    ASSERT_FALSE(messages) << text;
    EXPECT_EQ(messages.error().param, place) << text;
  }
}

Json message(const std::string& role, const std::string& content) { return {{"role", role}, {"content", content}}; }

TEST(TurnsTest, TheOldestGoFirstAndSystemMessagesStay) {
  const Json all = {message("system", "s"), message("user", "1"),      message("assistant", "2"),
                    message("user", "3"),   message("assistant", "4"), message("user", "5")};
  EXPECT_EQ(*without_oldest(all, 0.9), (Json{all[0], all[3], all[4], all[5]}));
  EXPECT_EQ(*without_oldest(all, 1.0), (Json{all[0], all[3], all[4], all[5]})) << "at least one";
  EXPECT_EQ(*without_oldest(all, 0.3), (Json{all[0], all[5]}));
  EXPECT_EQ(*without_oldest(all, 0.0), (Json{all[0], all[5]})) << "the last one stays";
}

TEST(TurnsTest, AToolsAnswerStaysWithItsCall) {
  const Json all = {message("user", "1"), message("assistant", "call"), message("tool", "2"), message("assistant", "3"),
                    message("user", "4"), message("assistant", "call"), message("tool", "5")};
  EXPECT_EQ(*without_oldest(all, 0.99), (Json{all[4], all[5], all[6]}));
  EXPECT_FALSE(without_oldest(Json{all[4], all[5], all[6]}, 0.1));
}

TEST(TurnsTest, OneTurnIsTheLastOne) {
  EXPECT_FALSE(without_oldest(Json::array(), 0.5));
  EXPECT_FALSE(without_oldest(Json{message("system", "s"), message("user", "1")}, 0.5));
  EXPECT_FALSE(without_oldest(Json::array({message("assistant", "1")}), 0.5));
}

TEST(ToolCallsTest, ArgumentsBecomeObjects) {
  EXPECT_EQ(ollama_tool_calls(Json::parse(R"([
      {"id":"q","type":"function","function":{"name":"a","arguments":"{\"x\":[1]}"}},
      {"function":{"name":"b","arguments":""}},
      {"function":{"name":"cut","arguments":"{\"x\":"}},
      {"function":{"arguments":"{}"}}])")),
            Json::parse(R"([{"id":"q","function":{"index":0,"name":"a","arguments":{"x":[1]}}},
                            {"function":{"index":1,"name":"b","arguments":{}}}])"));
}

}  // namespace
}  // namespace minerva::ollama
