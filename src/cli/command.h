// What the commands share: the address of the server, how a command is added to the command line, and how it ends.
//
// Each command's file defines one add_...() that registers a subcommand. Its action runs after parsing, on the same
// thread, and puts the exit code into Session.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cli/cli.h"
#include "cli/http_client.h"
#include "minerva/base/result.h"

namespace minerva::cli {

// The exit code for a wrong command line.
constexpr int kUsageError = 2;

struct Session {
  std::string url;      // of the server
  std::string api_key;  // empty: none
  TlsTrust trust;
  bool json = false;  // print the server's answer unchanged
  ServeFunction serve;
  int exit_code = 0;
};

// A session with the server and the key of the environment (MINERVA_URL, MINERVA_API_KEY).
Session session_from_environment();

// What a command does. Returns nothing when it is done, or the reason why not.
using Action = std::function<Result<void>(HttpClient& client, Session& session)>;

// Adds a subcommand with --url, --api-key and --json. It calls `action` with a connected client.
CLI::App* add_command(CLI::App& app, Session& session, const std::string& name, const std::string& description,
                      Action action);
// Adds the required argument for the model that the command is about.
void add_model_argument(CLI::App& command, std::string& id);

// Prints the reason on stderr. Returns its exit code.
int report(const Error& error);

// "/v1/models/ID" or "/v1/models/ID/ACTION".
std::string model_path(const std::string& id, const std::string& action = {});
// Prints the answer unchanged, on one line.
void print_json(const std::string& answer);
// Shows an answer to a person with `print`; with --json it prints the answer unchanged. Errors: the answer's, or that
// the answer makes no sense.
Result<void> show(const Session& session, const Result<std::string>& answer,
                  const std::function<void(const nlohmann::json&)>& print);

void add_serve(CLI::App& app, Session& session);
void add_models(CLI::App& app, Session& session);
void add_pull(CLI::App& app, Session& session);
void add_rm(CLI::App& app, Session& session);
void add_ps(CLI::App& app, Session& session);
void add_load(CLI::App& app, Session& session);  // load and preload
void add_park(CLI::App& app, Session& session);
void add_unload(CLI::App& app, Session& session);
void add_pin(CLI::App& app, Session& session);  // pin and unpin
void add_stats(CLI::App& app, Session& session);
void add_top(CLI::App& app, Session& session);
void add_cache(CLI::App& app, Session& session);  // cache clear
void add_conversations(CLI::App& app, Session& session);
void add_devices(CLI::App& app, Session& session);
void add_chat(CLI::App& app, Session& session);
void add_run(CLI::App& app, Session& session);
void add_logs(CLI::App& app, Session& session);
void add_explain(CLI::App& app, Session& session);
void add_policy(CLI::App& app, Session& session);
void add_doctor(CLI::App& app, Session& session);
void add_import(CLI::App& app, Session& session);
void add_completion(CLI::App& app, Session& session);
void add_manual(CLI::App& app, Session& session);
// Adds all commands above, and the options that may stand before a command.
void add_all_commands(CLI::App& app, Session& session);

// The man page of everything that `app` accepts, as roff.
std::string manual(const CLI::App& app);

}  // namespace minerva::cli
