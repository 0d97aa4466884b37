#include "api/decisions.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

constexpr auto kTime = std::chrono::system_clock::time_point(std::chrono::milliseconds(1'700'000'000'042));

TEST(DecisionsJson, SaysWhoLeftAndWhoStayed) {
  Decision decision{
      .id = 7, .when = {}, .kind = DecisionKind::kMakeRoom, .model = "a", .reason = "1 request waits for it"};
  decision.candidates = {
      {.model = "b", .standing = "never used", .score = 1.5, .frees = Bytes::mib(40), .stops = true, .chosen = true},
      {.model = "c", .standing = "last used 3 s ago", .score = 2, .frees = Bytes::mib(4)}};
  EXPECT_EQ(decisions_json({{decision, kTime}}),
            R"({"object":"list","data":[{"id":7,"time":"2023-11-14T22:13:20.042Z","kind":"make_room","model":"a",)"
            R"("reason":"1 request waits for it","because_of":null,"candidates":[)"
            R"({"model":"b","standing":"never used","score":1.5,"frees_mb":40,"leaves_by":"stop","chosen":true},)"
            R"({"model":"c","standing":"last used 3 s ago","score":2.0,"frees_mb":4,"leaves_by":"park","chosen":false})"
            R"(]}]})");
}

TEST(DecisionsJson, CountsRefusals) {
  Decision decision{
      .id = 8, .when = {}, .kind = DecisionKind::kRefuse, .model = "a", .reason = "9 wait", .because_of = 7};
  decision.refusal = ErrorCode::kQueueFull;
  decision.times = 12;
  EXPECT_EQ(decisions_json({{decision, kTime}}),
            R"({"object":"list","data":[{"id":8,"time":"2023-11-14T22:13:20.042Z","kind":"refuse","model":"a",)"
            R"("reason":"9 wait","because_of":7,"code":"queue_full","times":12}]})");
  EXPECT_EQ(decisions_json({}), R"({"object":"list","data":[]})");
}

}  // namespace
}  // namespace minerva::api
