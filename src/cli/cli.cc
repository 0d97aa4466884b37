#include "cli/cli.h"

#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>

#include "api/query.h"
#include "cli/answers.h"
#include "cli/command.h"
#include "cli/shell_completion.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

constexpr std::string_view kDefaultUrl = "http://127.0.0.1:3000";

std::string environment_or(const char* name, std::string_view otherwise) {
  const char* value = std::getenv(name);
  return std::string(value == nullptr || *value == '\0' ? otherwise : value);
}

// These options may stand before the command's name or after it.
void add_connection_options(CLI::App& app, Session& session) {
  app.add_option("--url", session.url, "The server: http[s]://HOST:PORT or unix:/PATH (env MINERVA_URL)")
      ->type_name("URL")
      ->default_str(std::string(kDefaultUrl));
  app.add_option("--api-key", session.api_key, "The server's key (env MINERVA_API_KEY)")->type_name("KEY");
  app.add_option("--cacert", session.trust.ca_file, "The authority of an https server (PEM; env MINERVA_CACERT)")
      ->type_name("FILE");
  app.add_flag("--insecure", session.trust.insecure, "Trust any https server");
  app.add_flag("--json", session.json, "Print the server's answer as JSON");
}

}  // namespace

CLI::App* add_command(CLI::App& app, Session& session, const std::string& name, const std::string& description,
                      Action action) {
  CLI::App* command = app.add_subcommand(name, description);
  add_connection_options(*command, session);
  command->callback([&session, action = std::move(action)] {
    Result<HttpClient> client = HttpClient::connect(session.url, session.api_key, session.trust);
    const Result<void> done = client ? action(*client, session) : fail(client.error());
    if (!done) session.exit_code = report(done.error());
  });
  return command;
}

void add_model_argument(CLI::App& command, std::string& id) {
  command.add_option("ID", id, "The model's id, as `minerva models` shows it")->required()->type_name("");
}

int report(const Error& error) {
  fmt::print(stderr, "minerva: {}\n", printable(error.message));
  return error_info(error.code).cli_exit;
}

std::string model_path(const std::string& id, const std::string& action) {
  return "/v1/models/" + api::percent_encode(id) + (action.empty() ? "" : "/" + action);
}

void print_json(const std::string& answer) {
  std::fwrite(answer.data(), 1, answer.size(), stdout);
  if (!answer.ends_with('\n')) std::fputc('\n', stdout);
}

Result<void> show(const Session& session, const Result<std::string>& answer,
                  const std::function<void(const nlohmann::json&)>& print) {
  if (!answer) return fail(answer.error());
  if (session.json) {
    print_json(*answer);
    return {};
  }
  const Result<nlohmann::json> json = parse_answer(*answer);
  if (!json) return fail(json.error());
  print(*json);
  return {};
}

Session session_from_environment() {
  Session session;
  session.url = environment_or("MINERVA_URL", kDefaultUrl);
  session.api_key = environment_or("MINERVA_API_KEY", "");
  session.trust.ca_file = environment_or("MINERVA_CACERT", "");
  return session;
}

void add_all_commands(CLI::App& app, Session& session) {
  app.set_version_flag("--version", "minerva " MINERVA_VERSION);
  app.require_subcommand(1);
  add_connection_options(app, session);
  add_serve(app, session);
  add_models(app, session);
  add_pull(app, session);
  add_rm(app, session);
  add_ps(app, session);
  add_load(app, session);
  add_park(app, session);
  add_unload(app, session);
  add_pin(app, session);
  add_stats(app, session);
  add_top(app, session);
  add_cache(app, session);
  add_conversations(app, session);
  add_devices(app, session);
  add_chat(app, session);
  add_run(app, session);
  add_logs(app, session);
  add_explain(app, session);
  add_policy(app, session);
  add_doctor(app, session);
  add_import(app, session);
  add_completion(app, session);
  add_manual(app, session);
}

int run(int argc, const char* const* argv, const ServeFunction& serve) {
  Session session = session_from_environment();
  session.serve = serve;
  CLI::App app("Minerva: many language models behind one OpenAI endpoint", "minerva");
  add_all_commands(app, session);
  // The arguments are the words of a line that somebody types: they are completed, not parsed.
  if (argc > 1 && std::string_view(argv[1]) == "__complete") return print_completion(app, {argv + 2, argv + argc});
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsageError;
  }
  // A full disk or a closed pipe: the output did not arrive.
  if (std::fflush(stdout) != 0 && session.exit_code == 0) session.exit_code = 1;
  return session.exit_code;
}

}  // namespace minerva::cli
