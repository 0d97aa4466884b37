// minerva serve: makes the config of flags, environment and file. main() hands in the function that serves it.
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "cli/config_flags.h"
#include "cli/terminal.h"
#include "io/tls.h"

namespace minerva::cli {
namespace {

// As the server does at its start.
Result<void> check_tls(const Config& config) {
  if (config.tls_certificate.empty()) return {};
  const auto loaded = io::TlsContext::load(config.tls_certificate, config.tls_key);
  if (!loaded) return fail(loaded.error());
  return {};
}

}  // namespace

void add_serve(CLI::App& app, Session& session) {
  CLI::App* command = app.add_subcommand("serve", "Run the server");
  auto check = std::make_shared<bool>(false);
  command->add_flag("--check", *check, "Only validate, and print the effective config");
  const auto flags = add_config_flags(*command);
  command->callback([flags, check, &app, &session] {
    ConfigSource source = config_source(*flags);
    // Before the command's name --api-key means the same.
    if (app.get_option("--api-key")->count() > 0) source.flags.emplace_back("api_keys", session.api_key);
    const Result<Config> config = source.load();
    if (!config) {
      session.exit_code = report(config.error());
    } else if (const Result<void> usable = *check ? check_tls(*config) : Result<void>(); !usable) {
      session.exit_code = report(usable.error());
    } else if (*check) {
      for (const std::string& warning : source.warnings) fmt::print(stderr, "minerva: {}\n", printable(warning));
      fmt::print("{}", describe_config(*config));
    } else {
      session.exit_code = session.serve(source, *config);
    }
  });
}

}  // namespace minerva::cli
