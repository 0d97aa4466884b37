// Job: one pull, from its request to its end. Also the table of jobs as text, for clients and for the disk.
//
// Plain values; any thread. The functions that read expect foreign bytes.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/state_file.h"
#include "minerva/base/bytes.h"
#include "minerva/base/error.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"
#include "pull/fetch.h"

namespace minerva::pull {

enum class JobState { kQueued, kRunning, kPaused, kDone, kFailed, kCancelled };

struct Job {
  std::string id;
  std::string name;  // what was asked for, as it was written
  With with = {};
  JobState state = JobState::kQueued;
  Progress progress;
  ModelId model;               // the model's name; empty until the job is done
  std::optional<Error> error;  // why it failed
  std::chrono::system_clock::time_point created;
  // All files of progress.files are in their places, and it is not known that the disk has them. (placed.h)
  bool placed = false;
  std::string boot;  // of the machine, in which progress.made came

  bool ended() const { return state == JobState::kDone || state == JobState::kFailed || state == JobState::kCancelled; }
};

std::string_view state_text(JobState state);  // "queued", ...

// A JSON object on one line.
std::string job_json(const Job& job);
std::string jobs_json(const std::vector<const Job*>& jobs);  // {"data": [...]}
std::string listing_json(const Listing& listing);

inline constexpr io::StateFile::Format kJobsFormat{"downloads", 1,
                                                   "pulls that were under way have to be asked for again"};
std::string jobs_text(const std::vector<Job>& jobs);
// Errors: kIo, with what is wrong.
Result<std::vector<Job>> parse_jobs(std::string_view text);

// The body of POST /v1/pull: {"model": "org/repo:Q4_K_M", "with": ["draft"]}. Errors: kInvalidArgument.
struct PullBody {
  std::string name;
  With with;
};
Result<PullBody> parse_pull_body(std::string_view body);

}  // namespace minerva::pull
