// minerva unload: moves a model out of memory.
#include <fmt/format.h>

#include <memory>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

struct UnloadFlags {
  std::string id;
  bool force = false;
};

Result<void> unload(HttpClient& client, Session& session, const UnloadFlags& flags) {
  const HttpCall call{"DELETE", model_path(flags.id) + (flags.force ? "?force=true" : ""), {}, {}};
  return show(session, client.call(call), [&](const nlohmann::json& answer) {
    fmt::print("{}: {}\n", flags.id, printable(text_of(answer, "message")));
  });
}

}  // namespace

void add_unload(CLI::App& app, Session& session) {
  auto flags = std::make_shared<UnloadFlags>();
  CLI::App* command =
      add_command(app, session, "unload", "Take a model out of memory, after its running requests",
                  [flags](HttpClient& client, Session& current) { return unload(client, current, *flags); });
  add_model_argument(*command, flags->id);
  command->add_flag("--force", flags->force, "Unpin it and cancel its running requests");
}

}  // namespace minerva::cli
