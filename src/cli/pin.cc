// minerva pin, minerva unpin: sets whether a model may be evicted.
#include <fmt/format.h>

#include <memory>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

Result<void> pin(HttpClient& client, Session& session, const std::string& id, const std::string& action) {
  return show(session, client.call({"POST", model_path(id, action), "{}", {}}),
              [&](const nlohmann::json& answer) { fmt::print("{}: {}\n", id, printable(text_of(answer, "message"))); });
}

void add_pin(CLI::App& app, Session& session, const std::string& name, const std::string& description) {
  auto id = std::make_shared<std::string>();
  CLI::App* command = add_command(app, session, name, description, [id, name](HttpClient& client, Session& current) {
    return pin(client, current, *id, name);
  });
  add_model_argument(*command, *id);
}

}  // namespace

void add_pin(CLI::App& app, Session& session) {
  add_pin(app, session, "pin", "Never evict a model once it is in memory");
  add_pin(app, session, "unpin", "Let a pinned model be evicted again");
}

}  // namespace minerva::cli
