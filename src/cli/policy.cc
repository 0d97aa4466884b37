// minerva policy compare: which eviction policy would have been best for the requests on this machine.
//
// It replays a trace through the core, as tools/cachesim does. It asks no server.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>
#include <tuple>

#include "cachesim/experiment.h"
#include "cachesim/report.h"
#include "cli/command.h"
#include "cli/config_flags.h"
#include "cli/terminal.h"
#include "cli/verdict.h"
#include "cli/workload.h"
#include "minerva/cache/eviction_policy.h"

namespace minerva::cli {
namespace {

using cachesim::Kind;
using cachesim::Report;
using cachesim::Row;
using CapacityTable = cachesim::Table;

struct CompareFlags {
  std::vector<std::string> files;
  std::vector<double> capacities;  // percent
  std::shared_ptr<ConfigFlags> config;
};

Result<Report> replay(const Workload& workload, const CompareFlags& flags) {
  cachesim::ExperimentOptions options;
  options.policies = policy_names();
  options.jobs = std::max(1U, std::thread::hardware_concurrency());
  if (!flags.capacities.empty()) {
    options.capacities = flags.capacities;
  } else if (workload.capacity) {
    options.capacities = {*workload.capacity};
  }
  StatusLine status;
  options.progress = [&](std::size_t done, std::size_t all) {
    status.show(fmt::format("replaying {}", progress_bar(static_cast<double>(done) / static_cast<double>(all), 30)));
  };
  return run_experiment(workload.trace, options);
}

std::string label_of(const Row& row, const std::string& in_use) {
  switch (row.kind) {
    case Kind::kPolicy:
      return row.name + (row.name == in_use ? " (in use)" : "");
    case Kind::kClairvoyant:
      return "knowing the future";
    case Kind::kBound:
      return "no policy can do better";
    case Kind::kInfinite:
      break;
  }
  return "memory for all";
}

Bytes gigabytes(double count) {
  constexpr double kGigabyte = 1e9;
  return Bytes(static_cast<std::uint64_t>(count * kGigabyte));
}

// The policies, the best one first; then the best clairvoyant heuristic and the best bound, to measure them by.
std::vector<const Row*> rows_to_show(const CapacityTable& table) {
  std::vector<const Row*> rows;
  const Row* bound = nullptr;
  for (const Row& row : table.rows) {
    if (row.kind == Kind::kPolicy) rows.push_back(&row);
    if (row.kind == Kind::kBound && (bound == nullptr || row.cold_wait_s.mean > bound->cold_wait_s.mean)) bound = &row;
  }
  std::sort(rows.begin(), rows.end(), [](const Row* a, const Row* b) {
    return std::tie(a->cold_wait_s.mean, a->name) < std::tie(b->cold_wait_s.mean, b->name);
  });
  for (const Row& row : table.rows) {
    if (row.name == table.best_clairvoyant || &row == bound || row.kind == Kind::kInfinite) rows.push_back(&row);
  }
  return rows;
}

void print_table(const CapacityTable& table, const std::string& in_use) {
  double all_gb = 0;
  Table text({{"POLICY"},
              {"COLD WAIT", Table::Align::kRight},
              {"HIT RATE", Table::Align::kRight},
              {"LOADED", Table::Align::kRight},
              {"P50 WAIT", Table::Align::kRight},
              {"P99 WAIT", Table::Align::kRight}});
  for (const Row* row : rows_to_show(table)) {
    if (row->kind == Kind::kInfinite) all_gb = row->loaded_gb;  // once for each
    std::vector<std::string> cells = {label_of(*row, in_use), format_seconds(row->cold_wait_s.mean)};
    if (row->kind == Kind::kBound) {
      cells.insert(cells.end(), 4, "");
    } else {
      cells.insert(cells.end(), {fmt::format("{:.1f}%", row->hit_rate), format_bytes(gigabytes(row->loaded_gb)),
                                 format_seconds(row->p50_wait_s), format_seconds(row->p99_wait_s)});
    }
    text.add(std::move(cells));
  }
  fmt::print("\n{} of memory for models that take {} together:\n{}{}\n", format_bytes(gigabytes(table.capacity_gb)),
             format_bytes(gigabytes(all_gb)), text.text(stdout_has_colour()), verdict(table, in_use).sentence);
}

void print_report(const Report& report, const Workload& workload, const std::string& in_use) {
  fmt::print("{} requests for {} models in {}. They are replayed one at a time, so that all waiting is for loads.\n",
             report.requests, report.models, in_words(workload.trace.requests.back().arrival));
  for (const std::string& note : workload.notes) fmt::print("{}\n", printable(note));
  for (const CapacityTable& table : report.tables) print_table(table, in_use);
}

void print_report_json(const Report& report, const Workload& workload, const std::string& in_use) {
  nlohmann::json json = nlohmann::json::parse(to_json(report));
  json["policy"] = in_use;
  json["notes"] = workload.notes;
  for (std::size_t i = 0; i < report.tables.size(); ++i) {
    const Verdict judged = verdict(report.tables[i], in_use);
    json["tables"][i]["best_policy"] = judged.best;
    json["tables"][i]["saves_s"] = judged.saves_s;
    json["tables"][i]["sentence"] = judged.sentence;
  }
  print_json(json.dump());
}

Result<void> compare(const CompareFlags& flags, const Session& session) {
  const Result<Config> config = config_source(*flags.config).load();
  if (!config) return fail(config.error());
  const std::vector<std::string> files = flags.files.empty() ? recorded_traces(*config) : flags.files;
  if (files.empty()) {
    return fail(ErrorCode::kConflict,
                fmt::format("no requests were recorded in {} yet: let a server with this state folder answer some, or "
                            "name a trace",
                            trace_folder(*config)));
  }
  const Result<Workload> workload = read_workload(*config, files);
  if (!workload) return fail(workload.error());
  const Result<Report> report = replay(*workload, flags);
  if (!report) return fail(report.error());
  (session.json ? print_report_json : print_report)(*report, *workload, config->policy);
  return {};
}

}  // namespace

void add_policy(CLI::App& app, Session& session) {
  CLI::App* const group = app.add_subcommand("policy", "Which model leaves first when another needs room");
  group->require_subcommand(1);
  auto flags = std::make_shared<CompareFlags>();
  CLI::App* const command =
      add_command(*group, session, "compare",
                  "Replay what was asked for through each eviction policy, and say which would have been best",
                  [flags](HttpClient&, const Session& current) { return compare(*flags, current); });
  command
      ->add_option("PATH", flags->files,
                   "CSV files with arrival_s,model,user,service_s and perhaps size_bytes,reload_s; by default what "
                   "the server recorded in trace/ in its state folder")
      ->type_name("");
  command
      ->add_option("--capacity", flags->capacities,
                   "Memory in percent of what all models of the trace take, one or several; by default the memory "
                   "budget, or 8,15,30 if none of the models is here")
      ->type_name("PERCENT")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::Range(0.0, 100.0));
  flags->config = add_config_flags(*command);
}

}  // namespace minerva::cli
