// cachesim: replays a trace of requests through the core under a virtual clock, and prints how well each eviction
// policy does, or each router of a cluster. It also generates traces. The exit codes are those in src/base/error.cc.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <exception>
#include <thread>

#include "cachesim/cluster.h"
#include "cachesim/experiment.h"
#include "cachesim/generate.h"
#include "cachesim/report.h"
#include "cachesim/turns.h"
#include "minerva/cache/eviction_policy.h"

namespace {

using minerva::Error;
using minerva::Result;
using minerva::cachesim::ExperimentOptions;
using minerva::cachesim::GeneratorOptions;
using minerva::cachesim::Report;
using minerva::cachesim::Trace;

constexpr double kMostModels = 10'000;
constexpr double kMostRequests = 1'000'000;

int failed(const Error& error) {
  fmt::print(stderr, "cachesim: error: {}\n", error.message);
  return minerva::error_info(error.code).cli_exit;
}

void show_progress(std::size_t done, std::size_t all) {
  fmt::print(stderr, "\r{}/{} replays{}", done, all, done == all ? "\n" : "");
}

int replay(const std::vector<std::string>& paths, ExperimentOptions options, bool json) {
  if (options.policies.empty()) options.policies = minerva::policy_names();
  if (::isatty(STDERR_FILENO) != 0) options.progress = show_progress;
  const Result<Trace> trace = minerva::cachesim::read_trace(paths);
  if (!trace) return failed(trace.error());
  const Result<Report> report = run_experiment(*trace, options);
  if (!report) return failed(report.error());
  fmt::print("{}", json ? to_json(*report) : to_text(*report));
  return 0;
}

struct ClusterArguments {
  std::vector<std::string> paths;
  std::vector<std::string> routers;
  double memory = 8;  // of each node, percent of all models' bytes
  minerva::cachesim::ClusterOptions options;
};

int play(const ClusterArguments& arguments) {
  const Result<Trace> trace = minerva::cachesim::read_trace(arguments.paths);
  if (!trace) return failed(trace.error());
  const minerva::cachesim::World world = make_world(*trace, arguments.options.seed);
  minerva::cachesim::ClusterOptions options = arguments.options;
  options.memory = world.capacity(arguments.memory);
  fmt::print("{} requests, {} models, {} nodes with {:.1f} GB each\n", trace->requests.size(), trace->models.size(),
             options.nodes, static_cast<double>(options.memory.count()) / 1e9);
  std::vector<minerva::cachesim::ClusterRow> rows;
  for (const std::string_view router : minerva::cachesim::router_names()) {
    const auto& wanted = arguments.routers;
    if (!wanted.empty() && std::find(wanted.begin(), wanted.end(), router) == wanted.end()) continue;
    rows.push_back(play_cluster(*trace, world, router, options));
  }
  fmt::print("{}", to_text(rows));
  return 0;
}

void add_cluster_options(CLI::App& app, ClusterArguments& arguments) {
  app.add_option("trace", arguments.paths, "as for replay")->required()->type_name("TRACE");
  app.add_option("--nodes", arguments.options.nodes, "how many")->capture_default_str()->check(CLI::Range(1, 10'000));
  app.add_option("--memory", arguments.memory, "of each node, percent of all models' bytes")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--slots", arguments.options.slots, "requests that an engine answers at once")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1024U));
  app.add_option("--speed", arguments.options.speed, "how many times as fast the requests come")
      ->capture_default_str()
      ->check(CLI::Range(1e-3, 1e6));
  app.add_option("--seed", arguments.options.seed, "of sizes that the trace does not say, and of random choices")
      ->capture_default_str();
  const std::vector<std::string_view> names = minerva::cachesim::router_names();
  app.add_option("--router", arguments.routers, "one or several; all if not given")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(CLI::IsMember(std::vector<std::string>(names.begin(), names.end())));
}

void add_generator_options(CLI::App& app, GeneratorOptions& options) {
  const CLI::Range count(1.0, kMostModels);
  const CLI::Range span(0.0, 1e4);
  app.add_option("--models", options.models, "how many there are")->capture_default_str()->check(count);
  app.add_option("--users", options.users, "how many there are")->capture_default_str()->check(count);
  app.add_option("--requests", options.requests, "how many")
      ->capture_default_str()
      ->check(CLI::Range(1.0, kMostRequests));
  app.add_option("--seed", options.seed, "another trace for each")->capture_default_str();
  app.add_option("--zipf", options.zipf, "exponent of popularity")->capture_default_str()->check(CLI::Range(0.0, 10.0));
  app.add_option("--session", options.session, "requests of a user in a row, on average")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 1e3));
  app.add_option("--session-gap", options.session_gap_s, "seconds between these")->capture_default_str()->check(span);
  app.add_option("--request-gap", options.request_gap_s, "seconds between any two requests")
      ->capture_default_str()
      ->check(CLI::Range(1e-3, 1e3));
  app.add_option("--diurnal", options.diurnal, "how much the rate follows the day, from 0")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 0.99));
  app.add_option("--drift-hours", options.drift_hours, "between changes of popularity; 0: none")
      ->capture_default_str()
      ->check(span);
  app.add_option("--scan-hours", options.scan_hours, "between scans of many models; 0: none")
      ->capture_default_str()
      ->check(span);
  app.add_option("--scan-share", options.scan_share, "of all models, that a scan touches")
      ->capture_default_str()
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--service", options.service_s, "seconds that a request runs, on average")
      ->capture_default_str()
      ->check(CLI::Range(1.0, 600.0));
}

int run(int argc, char** argv) {
  CLI::App app("A lab for eviction policies: replays traces through Minerva's core under a virtual clock.");
  app.require_subcommand(1);

  std::vector<std::string> paths;
  ExperimentOptions experiment;
  experiment.jobs = std::max(1U, std::thread::hardware_concurrency());
  bool json = false;
  CLI::App& replaying = *app.add_subcommand("replay", "compare policies on a trace");
  replaying
      .add_option("trace", paths, "CSV: arrival_s,model,user,service_s and perhaps size_bytes,reload_s; one or several")
      ->required()
      ->type_name("TRACE");
  replaying.add_option("--capacity", experiment.capacities, "percent of all models' bytes, one or several")
      ->delimiter(',')
      ->allow_extra_args(false)  // the trace may follow
      ->capture_default_str()
      ->check(CLI::Range(0.0, 100.0));
  replaying.add_option("--seeds", experiment.seeds, "of sizes and load times, where the trace has none")
      ->capture_default_str()
      ->check(CLI::Range(1U, 10'000U));
  replaying.add_option("--policy", experiment.policies, "one or several; all if not given")
      ->delimiter(',')
      ->allow_extra_args(false);
  replaying.add_flag("--timed", experiment.timed, "requests come as they arrived, and overlap");
  replaying.add_flag("--predict", experiment.predict,
                     "each policy once more, with models preloaded that are likely to be asked for");
  replaying.add_flag("--json", json, "for programs");
  replaying.add_option("--jobs", experiment.jobs, "replays at a time")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1024U));

  GeneratorOptions generator;
  CLI::App& generating = *app.add_subcommand("generate", "write a trace to stdout");
  add_generator_options(generating, generator);

  ClusterArguments cluster;
  CLI::App& clustering = *app.add_subcommand("cluster", "compare routers in front of several nodes, on a trace");
  add_cluster_options(clustering, cluster);

  CLI::App& turns = *app.add_subcommand("turns", "what queue.min_residency costs and gains where models take turns");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    constexpr int kWrongUsage = 2;
    return app.exit(error) == 0 ? 0 : kWrongUsage;
  }
  if (replaying.parsed()) return replay(paths, experiment, json);
  if (clustering.parsed()) return play(cluster);
  if (turns.parsed()) {
    fmt::print("{}", to_text(minerva::cachesim::measure_turns({})));
    return 0;
  }
  fmt::print("{}", to_csv(generate(generator)));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    // A bug, or no memory: every other error is a Result.
    fmt::print(stderr, "cachesim: internal error: {}\n", error.what());
    return 1;
  }
}
