// minerva serve: flags, environment and file make the config; main() knows how to serve it.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>

#include "cli/command.h"

namespace minerva::cli {
namespace {

constexpr int kMaxRepeated = 1000;  // of one flag

struct ServeFlags {
  std::string config_file;
  bool check = false;
  std::vector<std::vector<std::string>> values;  // as config_keys(): what was given for each flag
};

Result<ConfigSource> config_source(const ServeFlags& flags) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  const Result<Settings> from_environment = settings_from_environment(environment);
  if (!from_environment) return fail(from_environment.error());
  Settings given;
  for (std::size_t i = 0; i < config_keys().size(); ++i) {
    for (const std::string& value : flags.values[i]) given.emplace_back(config_keys()[i].name, value);
  }
  std::string file = flags.config_file;
  if (const char* named = std::getenv("MINERVA_CONFIG"); file.empty() && named != nullptr) file = named;
  return ConfigSource{std::move(file), *from_environment, std::move(given)};
}

}  // namespace

void add_serve(CLI::App& app, Session& session) {
  auto flags = std::make_shared<ServeFlags>();
  flags->values.resize(config_keys().size());
  CLI::App* command = app.add_subcommand("serve", "Run the server");
  command->add_option("--config", flags->config_file, "A TOML file (env MINERVA_CONFIG)")->type_name("FILE");
  command->add_flag("--check", flags->check, "Only validate, and print the effective config");
  for (std::size_t i = 0; i < config_keys().size(); ++i) {
    const ConfigKey& key = config_keys()[i];
    if (key.flag.empty()) continue;
    std::string meaning = key.meaning;
    if (!key.default_text.empty()) meaning += fmt::format(" [{}]", key.default_text);
    command->add_option(key.flag, flags->values[i], meaning + fmt::format(" (env {})", key.environment))
        ->type_name(key.repeatable ? "text" : key.type)
        ->expected(1, key.repeatable ? kMaxRepeated : 1)
        ->allow_extra_args(false)
        ->multi_option_policy(key.repeatable ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
  }
  command->callback([flags, &session] {
    const Result<ConfigSource> source = config_source(*flags);
    const Result<Config> config = source ? source->load() : fail(source.error());
    if (!config) {
      session.exit_code = report(config.error());
    } else if (flags->check) {
      fmt::print("{}", describe_config(*config));
    } else {
      session.exit_code = session.serve(*source, *config);
    }
  });
}

}  // namespace minerva::cli
