// minerva doctor: what requests ask of the models, against the memory for them.
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "cachesim/replay.h"
#include "cli/answers.h"
#include "cli/examination.h"
#include "cli/terminal.h"
#include "cli/workload.h"

namespace minerva::cli {
namespace {

using Level = Finding::Level;

constexpr auto kLately = std::chrono::minutes(10);

// The models that make up most of the requests, the most used first.
std::vector<std::uint32_t> often_used(const cachesim::Trace& trace) {
  constexpr double kMostRequests = 0.9;
  std::vector<std::size_t> uses(trace.models.size());
  for (const cachesim::TraceRequest& request : trace.requests) ++uses[request.model];
  std::vector<std::uint32_t> models(uses.size());
  std::iota(models.begin(), models.end(), 0U);
  std::sort(models.begin(), models.end(),
            [&](auto a, auto b) { return std::pair(uses[b], a) < std::pair(uses[a], b); });
  std::size_t sum = 0;
  std::size_t count = 0;
  while (static_cast<double>(sum) < kMostRequests * static_cast<double>(trace.requests.size())) {
    sum += uses[models[count++]];
  }
  models.resize(count);
  return models;
}

void examine_often_used(const Workload& workload, const FindingSink& found) {
  const std::vector<std::uint32_t> often = often_used(workload.trace);
  Bytes together;
  std::size_t fit = 0;
  for (const std::uint32_t model : often) {
    const Bytes size = *workload.trace.models[model].size;
    if (together + size > workload.budget) break;
    together += size;
    ++fit;
  }
  const std::string asked = fmt::format("Of {} models that were asked for, {} got 90% of the requests",
                                        workload.trace.models.size(), often.size());
  if (fit == often.size()) {
    found({Level::kFine, "use",
           fmt::format("{}; together they take {}, which fits the budget of {}.", asked, format_bytes(together),
                       format_bytes(workload.budget))});
  } else {
    found({Level::kNote, "use",
           fmt::format("{}, and of these no more than the {} most used fit the budget of {} together. A larger "
                       "memory_budget, or a smaller context of some, would save loads.",
                       asked, fit, format_bytes(workload.budget))});
  }
}

double cold_wait_s(const Workload& workload, const cachesim::World& world, const std::string& policy) {
  const auto maker = [&](const cachesim::Progress&) { return make_policy(policy).value(); };
  const Bytes capacity = world.capacity(*workload.capacity);
  return std::chrono::duration<double>(replay(workload.trace, world, maker, {.capacity = capacity}).cold_wait).count();
}

void examine_policy(Workload workload, const std::string& in_use, const FindingSink& found) {
  constexpr std::size_t kLatest = 20'000;  // as many as a replay takes in a second
  constexpr double kWorthASentence = 0.1;
  constexpr double kWorthASentenceS = 60;
  std::vector<cachesim::TraceRequest>& requests = workload.trace.requests;
  if (requests.size() > kLatest) requests.erase(requests.begin(), requests.end() - kLatest);
  const cachesim::World world = make_world(workload.trace, /*seed=*/1);
  const double used_s = cold_wait_s(workload, world, in_use);
  std::string best = in_use;
  double best_s = used_s;
  for (const std::string& policy : policy_names()) {
    const double wait_s = cold_wait_s(workload, world, policy);
    if (wait_s < best_s) best = policy;
    best_s = std::min(best_s, wait_s);
  }
  const double saved_s = used_s - best_s;
  if (saved_s < kWorthASentenceS || saved_s < kWorthASentence * used_s) return;
  found({Level::kNote, "policy",
         fmt::format("With {} the latest {} requests cost {} of loading; {} would have saved {} of it: set policy = "
                     "\"{}\". `minerva policy compare` shows more.",
                     in_use, requests.size(), format_seconds(used_s), best, format_seconds(saved_s), best)});
}

// Models that were stopped lately to make room for others: how often each was loaded lately.
std::map<std::string, int> reloads(const nlohmann::json& decisions) {
  const auto since = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now() - kLately);
  const std::string begin = fmt::format("{:%FT%T}", fmt::gmtime(since));
  std::map<std::string, int> loads;
  std::map<std::string, int> evictions;
  for (const nlohmann::json& decision : list_of(decisions, "data")) {
    if (text_of(decision, "time") < begin) continue;
    if (text_of(decision, "kind") == "load") ++loads[text_of(decision, "model")];
    if (text_of(decision, "kind") != "make_room") continue;
    for (const nlohmann::json& candidate : list_of(decision, "candidates")) {
      const bool stopped = flag_of(candidate, "chosen") && text_of(candidate, "leaves_by") == "stop";
      if (stopped) ++evictions[text_of(candidate, "model")];
    }
  }
  std::erase_if(loads, [&](const auto& load) { return !evictions.contains(load.first); });
  return loads;
}

std::string remedies(const Config& config) {
  std::vector<std::string> list;
  if (!config.park) list.emplace_back("parking (park.enabled)");
  if (config.max_models > 0) list.emplace_back("a higher max_models");
  list.emplace_back("a larger memory_budget");
  return fmt::format("{} or a smaller context of some of them", fmt::join(list, ", "));
}

}  // namespace

void examine_use(const Config& config, const FindingSink& found) {
  const std::vector<std::string> files = recorded_traces(config);
  if (files.empty()) return;
  Result<Workload> workload = read_workload(config, files);
  if (!workload) {
    found({Level::kNote, "use",
           fmt::format("What the server recorded of requests cannot be used: {}.", workload.error().message)});
    return;
  }
  if (!workload->capacity) return;  // the trace is about other models than those here
  examine_often_used(*workload, found);
  examine_policy(*std::move(workload), config.policy, found);
}

void examine_switching(const Config& config, HttpClient& client, const FindingSink& found) {
  constexpr int kAgainAndAgain = 3;
  const Result<std::string> answer = client.call({"GET", "/v1/decisions?limit=1000", {}, {}});
  const Result<nlohmann::json> decisions = answer ? parse_answer(*answer) : fail(answer.error());
  if (!decisions) return;  // an improper answer was reported already
  std::vector<std::string> often;
  for (const auto& [model, loads] : reloads(*decisions)) {
    if (loads >= kAgainAndAgain) often.push_back(fmt::format("\"{}\" {} times", model, loads));
  }
  if (often.empty()) return;
  found({Level::kNote, "switching",
         fmt::format("In the last {} models took each other's place again and again; loaded were {}. What would help: "
                     "{}. `minerva policy compare` says whether another policy would.",
                     in_words(kLately), fmt::join(often, ", "), remedies(config))});
}

void examine_conversations(HttpClient& client, const FindingSink& found) {
  const Result<std::string> answer = client.call({"GET", "/v1/conversations", {}, {}});
  const Result<nlohmann::json> kept = answer ? parse_answer(*answer) : fail(answer.error());
  if (!kept || !kept->contains("failure")) return;  // an improper answer was reported already
  found({Level::kNote, "conversations",
         fmt::format(
             "Conversations cannot be saved at present: {}. After an unload or a restart they are read anew. Make "
             "room on the disk, or mend the folder; saving is tried again from time to time.",
             printable(text_of(*kept, "failure")))});
}

}  // namespace minerva::cli
