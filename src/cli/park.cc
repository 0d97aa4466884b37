// minerva park: moves a model out of memory, and its conversations to disk.
#include <fmt/format.h>

#include <memory>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

struct ParkFlags {
  std::string id;
  bool force = false;
};

Result<void> park(HttpClient& client, Session& session, const ParkFlags& flags) {
  const HttpCall call{"POST", model_path(flags.id, "park") + (flags.force ? "?force=true" : ""), "{}", {}};
  return show(session, client.call(call), [&](const nlohmann::json& answer) {
    const bool parked = text_of(answer, "state") == "parked";
    fmt::print("{}: {}{}\n", flags.id, printable(text_of(answer, "message")),
               parked ? fmt::format(" ({} left in memory)", format_mib(number_of(answer, "estimated_memory_mb"))) : "");
  });
}

}  // namespace

void add_park(CLI::App& app, Session& session) {
  auto flags = std::make_shared<ParkFlags>();
  CLI::App* command = add_command(
      app, session, "park", "Move a model out of memory, its conversations to disk, after its running requests",
      [flags](HttpClient& client, Session& current) { return park(client, current, *flags); });
  add_model_argument(*command, flags->id);
  command->add_flag("--force", flags->force, "Unpin it and cancel its running requests");
}

}  // namespace minerva::cli
