// minerva doctor: what is wrong with this machine, the config or the models, in sentences.
//
// It looks by itself, so it works without a server: then it judges what `serve` would do here. If a server runs here,
// it asks for the server's settings and judges these. It changes nothing.
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/config_flags.h"
#include "cli/examination.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

std::string_view level_name(Finding::Level level) {
  switch (level) {
    case Finding::Level::kFine:
      return "fine";
    case Finding::Level::kNote:
      return "note";
    case Finding::Level::kProblem:
      return "problem";
  }
  return "problem";
}

// What the doctor judges.
struct Subject {
  Config config;
  std::optional<std::uint64_t> open_files;  // how many files the server may open; nothing: no limit
  // A server runs with that config, so its folders are in use.
  bool runs = false;
};

// The answer of GET /v1/models/stats. Null: what answers there is no proper server, which was reported. Nothing: nobody
// answers.
std::optional<nlohmann::json> examine_server(HttpClient& client, const Session& session, const FindingSink& found) {
  const Result<std::string> answer = client.call({"GET", "/v1/models/stats", {}, {}});
  if (!answer && answer.error().code == ErrorCode::kUnreachable) {
    found({Finding::Level::kNote, "server",
           fmt::format("No server answers at {}. `minerva serve` starts one, --url names another.", session.url)});
    return std::nullopt;
  }
  const Result<nlohmann::json> stats = answer ? parse_answer(*answer) : fail(answer.error());
  if (!stats) {
    found(
        {Finding::Level::kProblem, "server",
         fmt::format("What listens at {} does not answer as Minerva should: {}", session.url, stats.error().message)});
    return nlohmann::json();
  }
  found({flag_of(*stats, "memory_pressure") ? Finding::Level::kNote : Finding::Level::kFine, "server",
         fmt::format("The server at {} answers: {:.0f} models are in memory, they take {} of {}.", session.url,
                     number_of(*stats, "total_loaded"), format_mib(number_of(*stats, "estimated_memory_mb")),
                     format_mib(number_of(*stats, "memory_budget_mb")))});
  return *stats;
}

Bytes mebibytes(double count) { return Bytes::mib(static_cast<std::uint64_t>(std::clamp(count, 0.0, 1e9))); }

// The settings of the server there.
Result<Subject> subject_of_server(HttpClient& client, const nlohmann::json& stats) {
  const Result<std::string> answer = client.call({"GET", "/v1/config", {}, {}});
  const Result<nlohmann::json> told = answer ? parse_answer(*answer) : fail(answer.error());
  if (!told) return fail(told.error());
  Result<Config> config = load_told_config(text_of(*told, "toml"));
  if (!config) return fail(config.error());
  Subject subject{*std::move(config), std::nullopt, /*runs=*/true};
  // A share is one of what the server's cgroup may have, not of what this process's cgroup may have.
  subject.config.memory_budget = {0, mebibytes(number_of(stats, "memory_budget_mb"))};
  if (const double files = number_of(*told, "open_files"); files > 0) {
    subject.open_files = static_cast<std::uint64_t>(files);
  }
  return subject;
}

// The settings that `serve` would have here. Nothing if it could not start, which is reported.
std::optional<Subject> subject_of_flags(const ConfigFlags& flags, const FindingSink& found) {
  const ConfigSource source = config_source(flags);
  for (const std::string& warning : source.warnings) found({Finding::Level::kNote, "config", warning});
  Result<Config> config = source.load();
  if (!config) {
    found({Finding::Level::kProblem, "config", fmt::format("The config cannot be used: {}.", config.error().message)});
    return std::nullopt;
  }
  found({Finding::Level::kFine, "config",
         source.file.empty() ? "There is no config file; defaults, environment and flags are used."
                             : fmt::format("The config file {} is in order.", source.file)});
  Subject subject{*std::move(config), std::nullopt, /*runs=*/false};
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur != RLIM_INFINITY) subject.open_files = limit.rlim_cur;
  return subject;
}

// `stats`: the server's answer; null if there is no server to ask. With flags, the question is about another config
// than the server's.
std::optional<Subject> find_subject(const ConfigFlags& flags, HttpClient& client, const Session& session,
                                    const nlohmann::json& stats, const FindingSink& found) {
  if (stats.is_null() || has_config_flags(flags)) return subject_of_flags(flags, found);
  const Result<ServerAddress> address = parse_server_url(session.url);
  if (!address || !address->leads_here()) {
    found({Finding::Level::kNote, "config",
           fmt::format("The server at {} is looked at as another machine's, so what follows is about what `minerva "
                       "serve` would do on this one. Run `minerva doctor` there.",
                       session.url)});
    return subject_of_flags(flags, found);
  }
  Result<Subject> subject = subject_of_server(client, stats);
  if (!subject) {
    found(
        {Finding::Level::kNote, "config",
         fmt::format("The server does not tell what it runs with, so what follows is about what `minerva serve` would "
                     "do here: {}.",
                     subject.error().message)});
    return subject_of_flags(flags, found);
  }
  found({Finding::Level::kFine, "config", "What follows is about what that server runs with."});
  return *std::move(subject);
}

// The folders where the server keeps its files. If another user runs the server, this user cannot read them, which is
// correct.
void examine_folders(const Subject& subject, const FindingSink& found) {
  struct stat status{};
  const bool others = subject.runs && ::stat(subject.config.state_dir.c_str(), &status) == 0 &&
                      status.st_uid != ::geteuid() && ::geteuid() != 0;
  if (others) {
    found({Finding::Level::kNote, "state",
           fmt::format("The server runs as another user, so its folder {} and its parking cannot be looked at: run "
                       "`minerva doctor` as that user.",
                       subject.config.state_dir)});
    return;
  }
  examine_state_folder(subject.config, found);
  examine_parking(subject.config, found);
}

void examine_all(const ConfigFlags& flags, HttpClient& client, const Session& session, const FindingSink& found) {
  const std::optional<nlohmann::json> stats = examine_server(client, session, found);
  const std::optional<Subject> subject = find_subject(flags, client, session, stats.value_or(nlohmann::json()), found);
  if (!subject) return;
  const Config& config = subject->config;
  if (!stats) examine_listen_address(config, found);
  const bool engine_works = examine_engine(config, found);
  examine_devices(config, found);
  const double held_mib = stats ? number_of(*stats, "estimated_memory_mb") : 0;
  examine_memory(config, mebibytes(held_mib), found);
  examine_descriptors(config, subject->open_files, found);
  examine_folders(*subject, found);
  examine_models(config, engine_works, found);
  examine_disk(config, found);
  examine_use(config, found);
  if (stats) examine_switching(config, client, found);
  if (stats) examine_conversations(client, found);
}

}  // namespace

void add_doctor(CLI::App& app, Session& session) {
  auto flags = std::make_shared<std::shared_ptr<ConfigFlags>>();
  CLI::App* const command = add_command(
      app, session, "doctor", "Say what is wrong with this machine, the config or the models",
      [flags](HttpClient& client, Session& current) -> Result<void> {
        nlohmann::ordered_json list = nlohmann::ordered_json::array();
        bool healthy = true;
        examine_all(**flags, client, current, [&](const Finding& finding) {
          healthy = healthy && finding.level != Finding::Level::kProblem;
          const std::string_view level = level_name(finding.level);
          if (current.json) {
            list.push_back({{"topic", finding.topic}, {"level", level}, {"sentence", finding.sentence}});
          } else {
            fmt::print("{:<9}{}\n", level, printable(finding.sentence));
            std::fflush(stdout);  // shows the line above now, since the look at many models takes time
          }
        });
        if (current.json) {
          const nlohmann::ordered_json answer = {{"healthy", healthy}, {"findings", list}};
          print_json(answer.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
        } else {
          fmt::print("\n{}\n", healthy ? "Nothing is wrong." : "Something is wrong: see each \"problem\" above.");
        }
        if (!healthy) current.exit_code = 1;
        return {};
      });
  *flags = add_config_flags(*command);
}

}  // namespace minerva::cli
