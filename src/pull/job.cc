#include "pull/job.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "api/json.h"

namespace minerva::pull {
namespace {

using api::Json;
using std::chrono::milliseconds;
using std::chrono::system_clock;

constexpr std::array<std::pair<JobState, std::string_view>, 6> kStates = {{{JobState::kQueued, "queued"},
                                                                           {JobState::kRunning, "running"},
                                                                           {JobState::kPaused, "paused"},
                                                                           {JobState::kDone, "done"},
                                                                           {JobState::kFailed, "failed"},
                                                                           {JobState::kCancelled, "cancelled"}}};
constexpr std::size_t kMostJobs = 1000;
constexpr std::size_t kLongestText = 10'000;
constexpr std::size_t kMostListed = 20'000;  // as many as a repository may have files

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

Json to_json(With with) {
  Json list = Json::array();
  if (with.draft) list.push_back("draft");
  if (with.mtp) list.push_back("mtp");
  return list;
}

// nullopt: it is no list of companions.
std::optional<With> read_with(const Json& object) {
  With with;
  const auto it = object.find("with");
  if (it == object.end() || it->is_null()) return with;
  if (!it->is_array()) return std::nullopt;
  for (const Json& item : *it) {
    if (item == "draft") {
      with.draft = true;
    } else if (item == "mtp") {
      with.mtp = true;
    } else {
      return std::nullopt;
    }
  }
  return with;
}

Json to_json(const Job& job) {
  const Progress& progress = job.progress;
  Json json = {{"id", job.id},
               {"model", job.name},
               {"with", to_json(job.with)},
               {"state", state_text(job.state)},
               {"doing", text_or_null(progress.doing)},
               {"model_id", text_or_null(job.model)},
               {"size_bytes", progress.size.count()},
               {"done_bytes", progress.done.count()},
               {"bytes_per_second", std::llround(progress.rate)}};
  const bool goes_on = job.state == JobState::kRunning && progress.rate > 0 && progress.size > progress.done;
  json["seconds_left"] =
      goes_on ? Json(std::llround(static_cast<double>((progress.size - progress.done).count()) / progress.rate))
              : Json(nullptr);
  json["why"] = text_or_null(progress.why);
  json["license"] = text_or_null(progress.licence);
  json["commit"] = text_or_null(progress.commit);
  json["file"] = text_or_null(progress.file);
  json["error"] = nullptr;
  if (job.error) {
    json["error"] = {{"code", error_info(job.error->code).name}, {"message", job.error->message}};
  }
  json["created"] = api::utc(job.created);
  return json;
}

// Reads a text of a foreign document. false: it is no text, or too long.
bool read_text(const Json& object, const char* name, std::string& text) {
  const auto it = object.find(name);
  if (it == object.end() || it->is_null()) return true;
  if (!it->is_string() || it->get_ref<const std::string&>().size() > kLongestText) return false;
  text = it->get<std::string>();
  return true;
}

std::optional<std::int64_t> read_count(const Json& object, const char* name) {
  const auto it = object.find(name);
  if (it == object.end() || !it->is_number_integer() || it->get<std::int64_t>() < 0) return std::nullopt;
  return it->get<std::int64_t>();
}

// Reads a flag. An older table has none: it is false then.
bool read_flag(const Json& object, const char* name, bool& flag) {
  const auto it = object.find(name);
  if (it == object.end()) return true;
  if (!it->is_boolean()) return false;
  flag = it->get<bool>();
  return true;
}

// Reads a list of texts. An older table has none: the list is empty then.
bool read_list(const Json& object, const char* name, std::vector<std::string>& list) {
  const auto it = object.find(name);
  if (it == object.end()) return true;
  if (!it->is_array() || it->size() > kMostListed) return false;
  for (const Json& item : *it) {
    if (!item.is_string() || item.get_ref<const std::string&>().size() > kLongestText) return false;
    list.push_back(item.get<std::string>());
  }
  return true;
}

std::optional<Job> read_job(const Json& object) {
  Job job;
  std::string state;
  if (!object.is_object() || !read_text(object, "id", job.id) || !read_text(object, "model", job.name) ||
      !read_text(object, "state", state) || !read_text(object, "model_id", job.model) ||
      !read_text(object, "why", job.progress.why) || !read_text(object, "license", job.progress.licence) ||
      !read_text(object, "commit", job.progress.commit) || !read_text(object, "file", job.progress.file) ||
      !read_list(object, "made", job.progress.made) || !read_list(object, "files", job.progress.files) ||
      !read_text(object, "boot", job.boot) || !read_flag(object, "placed", job.placed)) {
    return std::nullopt;
  }
  const auto known = std::find_if(kStates.begin(), kStates.end(), [&](const auto& row) { return row.second == state; });
  const auto size = read_count(object, "size_bytes");
  const auto done = read_count(object, "done_bytes");
  const auto created = read_count(object, "created_ms");
  const auto with = read_with(object);
  if (job.id.empty() || job.name.empty() || !with || known == kStates.end() || !size || !done || !created)
    return std::nullopt;
  job.state = known->first;
  job.with = *with;
  job.progress.size = Bytes(static_cast<std::uint64_t>(*size));
  job.progress.done = Bytes(static_cast<std::uint64_t>(*done));
  constexpr std::int64_t kLatest = std::int64_t{1} << 43U;  // ms: some centuries
  job.created = system_clock::time_point(milliseconds(std::min(*created, kLatest)));
  if (const auto error = object.find("error"); error != object.end() && error->is_object()) {
    std::string code;
    Error read;
    if (!read_text(*error, "code", code) || !read_text(*error, "message", read.message)) return std::nullopt;
    if (const ErrorInfo* info = find_error_info(code)) read.code = info->code;
    job.error = std::move(read);
  }
  return job;
}

}  // namespace

std::string_view state_text(JobState state) {
  return std::find_if(kStates.begin(), kStates.end(), [state](const auto& row) { return row.first == state; })->second;
}

std::string job_json(const Job& job) { return api::dump(to_json(job)); }

std::string jobs_json(const std::vector<const Job*>& jobs) {
  Json list = Json::array();
  for (const Job* const job : jobs) list.push_back(to_json(*job));
  return api::dump(Json{{"object", "list"}, {"data", std::move(list)}});
}

std::string listing_json(const Listing& listing) {
  Json list = Json::array();
  for (const Choice& choice : listing.choices) {
    Json files = Json::array();
    for (const RemoteFile& file : choice.files) files.push_back(file.path);
    Json companions = Json::array();
    for (const Companion& companion : choice.companions) {
      companions.push_back(
          {{"kind", companion.kind}, {"file", companion.file.path}, {"size_bytes", companion.file.size.count()}});
    }
    list.push_back({{"model", choice.name},
                    {"size_bytes", choice.size.count()},
                    {"expected_memory_mb", choice.expected_memory.rounded_mib()},
                    {"fit", fit_text(choice.fit)},
                    {"files", std::move(files)},
                    {"companions", std::move(companions)}});
  }
  return api::dump(Json{{"object", "list"},
                        {"repo", listing.repo},
                        {"license", text_or_null(listing.licence)},
                        {"gated", listing.gated},
                        {"disk_free_bytes", listing.disk_free ? Json(listing.disk_free->count()) : Json(nullptr)},
                        {"chosen", text_or_null(listing.chosen)},
                        {"why", listing.why},
                        {"data", std::move(list)}});
}

std::string jobs_text(const std::vector<Job>& jobs) {
  Json list = Json::array();
  for (const Job& job : jobs) {
    Json json = to_json(job);
    json["made"] = job.progress.made;
    json["boot"] = job.boot;
    json["placed"] = job.placed;
    if (job.placed) json["files"] = job.progress.files;
    json["created_ms"] = std::chrono::duration_cast<milliseconds>(job.created.time_since_epoch()).count();
    list.push_back(std::move(json));
  }
  return api::dump(list);
}

Result<std::vector<Job>> parse_jobs(std::string_view text) {
  const Json list = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!list.is_array() || list.size() > kMostJobs) return fail(ErrorCode::kIo, "it is no list of downloads");
  std::vector<Job> jobs;
  for (const Json& object : list) {
    auto job = read_job(object);
    if (!job) return fail(ErrorCode::kIo, "it has a download that cannot be read");
    jobs.push_back(*std::move(job));
  }
  return jobs;
}

Result<PullBody> parse_pull_body(std::string_view body) {
  const Json object = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  PullBody read;
  if (!object.is_object() || !read_text(object, "model", read.name) || read.name.empty()) {
    return fail(ErrorCode::kInvalidArgument,
                "The body is a JSON object that says what to pull: {\"model\": \"org/repo:Q4_K_M\"}.", "model");
  }
  const auto with = read_with(object);
  if (!with) {
    return fail(ErrorCode::kInvalidArgument, "\"with\" is a list of what comes along: \"draft\", \"mtp\" or both.",
                "with");
  }
  read.with = *with;
  return read;
}

}  // namespace minerva::pull
