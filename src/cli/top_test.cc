#include "cli/top.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace minerva::cli {
namespace {

using nlohmann::json;

const json kStats = json::parse(R"({"estimated_memory_mb":400,"memory_budget_mb":1000,"models":[
  {"id":"small","state":"hot","memory_mb":300,"leases":1,"waiting":0,"last_used_s":0.5},
  {"id":"old","state":"parked","memory_mb":100,"leases":0,"waiting":0}]})");
const json kRequests = json::parse(R"({"in_flight":[
  {"id":"req_1","model":"small","phase":"generating","caller":"alice","generated_tokens":1234,
   "tokens_per_second":7.94,"seconds":3.4},
  {"id":"req_2","model":"","phase":"receiving","caller":null,"generated_tokens":null,"seconds":0.1}],
 "recent":[{"id":"req_0","model":"old","outcome":"completed","status":200,"wait_seconds":0.5,"seconds":3,
   "prompt_tokens":12000,"generated_tokens":17,"tokens_per_second":null}]})");

TEST(Top, ShowsMemoryWhatGoesOnAndWhatEnded) {
  EXPECT_EQ(top_text(kStats, kRequests, {.selected = "req_1"}),
            "memory 400 MiB of 1000 MiB  [############..................]  40%\n"
            "MODEL  STATE    MEMORY  RUNNING  WAITING  LAST USED\n"
            "small  hot     300 MiB        1        0  now\n"
            "old    parked  100 MiB        0        0  never\n"
            "\n"
            "   IN FLIGHT  CALLER  PHASE       TOKENS  SPEED    TIME  ID\n"
            ">  small      alice   generating   1,234  7.9/s   3.4 s  req_1\n"
            "   -          -       receiving        -      -  100 ms  req_2\n"
            "\n"
            "ENDED  CALLER  OUTCOME    STATUS  WAITED   TIME  PROMPT  TOKENS  SPEED\n"
            "old    -       completed     200  500 ms  3.0 s  12,000      17      -\n");
}

TEST(Top, ShowsWhatModelsHoldOfEachDevice) {
  const json stats = json::parse(R"({"estimated_memory_mb":100,"memory_budget_mb":1000,
    "pools":[{"id":"host","memory_mb":100,"memory_budget_mb":1000,"available_mb":1000},
             {"id":"Vulkan0","memory_mb":1000,"memory_budget_mb":4000,"available_mb":3000}],
    "models":[{"id":"m","state":"hot","memory_mb":1100,"pools_mb":{"host":100,"Vulkan0":1000},"leases":0,"waiting":0}]})");
  EXPECT_EQ(top_text(stats, json::object(), {}),
            "memory 100 MiB of 1000 MiB  [###...........................]  10%\n"
            "Vulkan0 1000 MiB of 3.9 GiB  [########......................]  25%  other programs have 1000 MiB of it\n"
            "MODEL  STATE   MEMORY  RUNNING  WAITING  LAST USED\n"
            "m      hot    1.1 GiB        0        0  never\n"
            "m holds 1000 MiB Vulkan0, 100 MiB host.\n"
            "\nNo request is in flight.\n");
}

TEST(Top, AnIdleServerIsShownToo) {
  EXPECT_EQ(top_text(json::object(), json::object(), {}),
            "memory 0 B of 0 B  [..............................]   0%\nNo model is in memory.\n"
            "\nNo request is in flight.\n");
}

TEST(Top, SaysHowFarAPhaseIs) {
  const auto text = [](const char* request) { return phase_text(json::parse(request)); };
  EXPECT_EQ(text(R"({"phase":"reading","fraction":0.31,"prompt_tokens":12000})"), "reading 31 % of 12,000 tokens");
  EXPECT_EQ(text(R"({"phase":"reading","fraction":null})"), "reading");
  EXPECT_EQ(text(R"({"phase":"loading","fraction":0.42})"), "loading 42 %");
  EXPECT_EQ(text(R"({"phase":"waiting","place":2})"), "waiting, place 2");
  EXPECT_EQ(text("{}"), "");
}

TEST(Top, AServersTextCannotTakeTheTerminalOver) {
  const json requests = json::parse(R"({"in_flight":[{"id":"\u001b[2J","model":"a\nb","phase":"x"}]})");
  const std::string text = top_text(json::object(), requests, {});
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_NE(text.find("a b"), std::string::npos);
}

TEST(Top, FitsAScreen) {
  EXPECT_EQ(fitted("abc\ndefgh\nx\n", 2, 4), "abc\ndefg\n");
  EXPECT_EQ(fitted("\033[1mabc\033[0m\n", 2, 2), "\033[1mab\033[0m\n");
  EXPECT_EQ(fitted("äöü\n", 1, 2), "äö\n");
  EXPECT_EQ(fitted("abc", 0, 9), "");
}

TEST(Top, ASelectionMovesAndOutlivesWhatItIsOn) {
  const std::vector<std::string> ids = shown_ids(kRequests);
  EXPECT_EQ(ids, (std::vector<std::string>{"req_1", "req_2"}));
  EXPECT_EQ(moved(ids, "req_1", 1), "req_2");
  EXPECT_EQ(moved(ids, "req_2", 1), "req_2");
  EXPECT_EQ(moved(ids, "req_1", -1), "req_1");
  EXPECT_EQ(moved(ids, "gone", 0), "req_1");
  EXPECT_EQ(moved({}, "gone", 0), "");
}

TEST(Top, TakesKeysAsTerminalsSendThem) {
  std::string typed = "\033[A\033OB\033[1;2Ajkcyq\033[5~x";
  std::vector<Key> keys;
  for (Key key = take_key(typed); key != Key::kNone; key = take_key(typed)) keys.push_back(key);
  EXPECT_EQ(keys, (std::vector<Key>{Key::kUp, Key::kDown, Key::kUp, Key::kDown, Key::kUp, Key::kCancel, Key::kYes,
                                    Key::kQuit, Key::kOther, Key::kOther}));
  typed = "\033[";
  EXPECT_EQ(take_key(typed), Key::kNone);
  typed += "B";
  EXPECT_EQ(take_key(typed), Key::kDown);
  EXPECT_EQ(typed, "");
}

}  // namespace
}  // namespace minerva::cli
