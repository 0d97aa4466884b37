#include "api/activity.h"

#include <gtest/gtest.h>

namespace minerva::api {
namespace {

using std::chrono::milliseconds;

RequestFacts facts() {
  return {.id = "req_1",
          .model = "m",
          .path = "/v1/chat/completions",
          .stream = true,
          .began = WallTime(milliseconds(1'700'000'000'042))};
}

TEST(RequestsJson, SaysWhatIsKnown) {
  InFlightAnswer reading;
  reading.request = facts();
  reading.request.caller = "alice";
  reading.phase = "reading";
  reading.fraction = 0.31254;
  reading.tokens = {12000, 1000, std::nullopt, 90.128};
  reading.in_phase = milliseconds(1200);
  reading.in_all = milliseconds(3456);
  EXPECT_EQ(requests_json({reading}, {}),
            R"({"in_flight":[{"id":"req_1","model":"m","path":"/v1/chat/completions","caller":"alice","stream":true,)"
            R"("began":"2023-11-14T22:13:20.042Z","phase":"reading","fraction":0.31,"place":null,)"
            R"("prompt_tokens":12000,"cached_tokens":1000,"generated_tokens":null,"tokens_per_second":90.13,)"
            R"("phase_seconds":1.2,"seconds":3.456}],"recent":[]})");
}

TEST(RequestsJson, SaysHowOneEnded) {
  EndedAnswer ended;
  ended.request = facts();
  ended.status = 200;
  ended.waited = milliseconds(500);
  ended.took = milliseconds(3400);
  ended.first_byte = milliseconds(900);
  ended.tokens.generated = 17;
  EXPECT_EQ(requests_json({}, {ended}),
            R"({"in_flight":[],"recent":[{"id":"req_1","model":"m","path":"/v1/chat/completions","caller":null,)"
            R"("stream":true,"began":"2023-11-14T22:13:20.042Z","status":200,"outcome":"completed","wait_seconds":0.5,)"
            R"("seconds":3.4,"first_byte_seconds":0.9,"prompt_tokens":null,"cached_tokens":null,)"
            R"("generated_tokens":17,"tokens_per_second":null}]})");
}

TEST(RequestsJson, AStatusIsAnOutcome) {
  EXPECT_EQ(outcome_name(200), "completed");
  EXPECT_EQ(outcome_name(304), "completed");
  EXPECT_EQ(outcome_name(499), "cancelled");
  EXPECT_EQ(outcome_name(429), "shed");
  EXPECT_EQ(outcome_name(503), "shed");
  for (const int status : {0, 400, 404, 502, 504}) EXPECT_EQ(outcome_name(status), "failed") << status;
}

TEST(SamplesJson, HasThoseThatAreNewer) {
  std::deque<Sample> samples(3);
  for (int i = 0; i < 3; ++i) {
    samples[static_cast<std::size_t>(i)].time = WallTime(milliseconds(1'700'000'000'900 + 5000 * i));
  }
  samples[2].budget = Bytes(100);
  samples[2].used = Bytes(60);
  samples[2].running = 1;
  samples[2].models = {{"a", Residency::kHot, Bytes(40), 7.9}, {"b", Residency::kParked, Bytes(20)}};
  const WallTime now(milliseconds(1'700'000'012'500));
  const std::string text = samples_json(samples, 1'700'000'005.5, std::chrono::seconds(5), now);
  EXPECT_EQ(text, R"({"interval_seconds":5,"now":1700000012.5,"samples":[{"time":1700000010,"budget_bytes":100,)"
                  R"("used_bytes":60,"others_bytes":null,"waiting":0,"running":1,"tokens_per_second":7.9,"models":{)"
                  R"("a":{"state":"hot","bytes":40,"tokens_per_second":7.9},)"
                  R"("b":{"state":"parked","bytes":20,"tokens_per_second":0.0}}}]})");
  EXPECT_EQ(samples_json(samples, 1'700'000'010, std::chrono::seconds(5), now),
            R"({"interval_seconds":5,"now":1700000012.5,"samples":[]})");
}

TEST(RequestsJson, ACancelledOneIsNamed) { EXPECT_EQ(cancelled_json("req_1"), R"({"id":"req_1","cancelled":true})"); }

}  // namespace
}  // namespace minerva::api
