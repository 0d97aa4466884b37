#include "pull/job.h"

#include <gtest/gtest.h>

namespace minerva::pull {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

Job sample() {
  Job job;
  job.id = "pull-1";
  job.name = "o/r:Q4_K_M";
  job.with.mtp = true;
  job.state = JobState::kRunning;
  job.progress = {"fetching r-Q4_K_M.gguf",
                  std::string(40, 'a'),
                  "r-Q4_K_M.gguf",
                  "It fits.",
                  "mit",
                  Bytes(1000),
                  Bytes(250),
                  50.0,
                  0,
                  {std::string(64, 'e')}};
  job.created = system_clock::time_point(milliseconds(1'700'000'000'042));
  return job;
}

TEST(Job, AsClientsSeeIt) {
  EXPECT_EQ(
      job_json(sample()),
      R"({"id":"pull-1","model":"o/r:Q4_K_M","with":["mtp"],"state":"running","doing":"fetching r-Q4_K_M.gguf","model_id":null,)"
      R"("size_bytes":1000,"done_bytes":250,"bytes_per_second":50,"seconds_left":15,"why":"It fits.",)"
      R"("license":"mit","commit":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","file":"r-Q4_K_M.gguf","error":null,)"
      R"("created":"2023-11-14T22:13:20.042Z"})");
  Job failed = sample();
  failed.state = JobState::kFailed;
  failed.error = Error{ErrorCode::kForbidden, "It is gated."};
  EXPECT_NE(job_json(failed).find(R"("error":{"code":"forbidden","message":"It is gated."})"), std::string::npos);
  EXPECT_NE(job_json(failed).find(R"("seconds_left":null)"), std::string::npos);
}

TEST(Job, ComesBackFromTheDisk) {
  Job failed = sample();
  failed.id = "pull-2";
  failed.state = JobState::kFailed;
  failed.error = Error{ErrorCode::kForbidden, "It is gated."};
  failed.placed = true;
  failed.progress.files = {"r-Q4_K_M.gguf"};
  failed.boot = "b00t";
  const auto read = parse_jobs(jobs_text({sample(), failed}));
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 2U);
  EXPECT_EQ((*read)[0].name, "o/r:Q4_K_M");
  EXPECT_EQ((*read)[0].with, sample().with);
  EXPECT_EQ((*read)[0].state, JobState::kRunning);
  EXPECT_EQ((*read)[0].progress.commit, std::string(40, 'a'));
  EXPECT_EQ((*read)[0].progress.file, "r-Q4_K_M.gguf");
  EXPECT_EQ((*read)[0].progress.done, Bytes(250));
  EXPECT_EQ((*read)[0].progress.made, sample().progress.made);
  EXPECT_EQ((*read)[0].created, sample().created);
  EXPECT_EQ((*read)[1].error->code, ErrorCode::kForbidden);
  EXPECT_EQ((*read)[1].error->message, "It is gated.");
  EXPECT_FALSE((*read)[0].placed);
  EXPECT_TRUE((*read)[1].placed);
  EXPECT_EQ((*read)[1].progress.files, failed.progress.files);
  EXPECT_EQ((*read)[1].boot, "b00t");
}

TEST(Job, ADamagedTableIsNone) {
  for (const char* const text :
       {"", "{}", "[1]", R"([{"id":"x"}])", R"([{"id":7,"model":"m","state":"done"}])",
        R"([{"id":"a","model":"m","state":"odd","size_bytes":1,"done_bytes":1,"created_ms":1}])",
        R"([{"id":"a","model":"m","state":"done","size_bytes":1,"done_bytes":1,"created_ms":1,"made":[7]}])",
        R"([{"id":"a","model":"m","state":"done","size_bytes":1,"done_bytes":1,"created_ms":1,"made":"x"}])",
        R"([{"id":"a","model":"m","state":"done","size_bytes":-1,"done_bytes":1,"created_ms":1}])"}) {
    EXPECT_FALSE(parse_jobs(text)) << text;
  }
}

TEST(Job, TheBodyOfAPull) {
  EXPECT_EQ(parse_pull_body(R"({"model":"o/r"})")->name, "o/r");
  EXPECT_FALSE(parse_pull_body(R"({"model":"o/r"})")->with.any());
  EXPECT_EQ(parse_pull_body(R"({"model":"o/r","with":["mtp","draft","mtp"]})")->with, (With{true, true}));
  for (const char* const text :
       {"", "{", "[]", "{}", R"({"model":7})", R"({"model":""})", R"({"model":"o/r","with":"mtp"})",
        R"({"model":"o/r","with":["x"]})", R"({"model":"o/r","with":[7]})"}) {
    EXPECT_FALSE(parse_pull_body(text)) << text;
  }
}

}  // namespace
}  // namespace minerva::pull
