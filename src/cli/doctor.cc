// minerva doctor: what is wrong with this machine, the config or the models, in sentences.
//
// It looks for itself, so it works without a server; one that runs is asked too. It changes nothing.
#include <fmt/format.h>

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

// What the models of the server there have in memory; nothing if none answers.
std::optional<Bytes> examine_server(HttpClient& client, const Session& session, const FindingSink& found) {
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
    return Bytes();
  }
  found({flag_of(*stats, "memory_pressure") ? Finding::Level::kNote : Finding::Level::kFine, "server",
         fmt::format("The server at {} answers: {:.0f} models are in memory, they take {} of {}.", session.url,
                     number_of(*stats, "total_loaded"), format_mib(number_of(*stats, "estimated_memory_mb")),
                     format_mib(number_of(*stats, "memory_budget_mb")))});
  return Bytes::mib(static_cast<std::uint64_t>(std::clamp(number_of(*stats, "estimated_memory_mb"), 0.0, 1e9)));
}

void examine_all(const ConfigFlags& flags, HttpClient& client, const Session& session, const FindingSink& found) {
  const std::optional<Bytes> held = examine_server(client, session, found);
  const Result<ConfigSource> source = config_source(flags);
  const Result<Config> config = source ? source->load() : fail(source.error());
  if (!config) {
    found({Finding::Level::kProblem, "config", fmt::format("The config cannot be used: {}.", config.error().message)});
    return;
  }
  const std::string& file = source->file;
  found({Finding::Level::kFine, "config",
         file.empty() ? "There is no config file; defaults, environment and flags are used."
                      : fmt::format("The config file {} is in order.", file)});
  if (!held) examine_listen_address(*config, found);
  const bool engine_works = examine_engine(*config, found);
  examine_memory(*config, held.value_or(Bytes()), found);
  examine_descriptors(*config, found);
  examine_state_folder(*config, found);
  examine_parking(*config, found);
  examine_models(*config, engine_works, found);
  examine_disk(*config, found);
  examine_use(*config, found);
  if (held) examine_switching(*config, client, found);
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
            std::fflush(stdout);  // looking at many models takes its time
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
