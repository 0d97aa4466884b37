#include "cli/config_flags.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

namespace minerva::cli {
namespace {

// The type of one value: "list of paths" -> "path".
std::string type_of_one(const std::string& type) {
  if (type == "list of paths") return "path";
  if (type == "list of addresses") return "address";
  return type == "list of text" ? "text" : type;
}

constexpr int kMaxRepeated = 1000;  // how often one flag may come

}  // namespace

std::shared_ptr<ConfigFlags> add_config_flags(CLI::App& command) {
  auto flags = std::make_shared<ConfigFlags>();
  flags->values.resize(config_keys().size());
  command.add_option("--config", flags->file, "A TOML file (env MINERVA_CONFIG)")->type_name("FILE");
  for (std::size_t i = 0; i < config_keys().size(); ++i) {
    const ConfigKey& key = config_keys()[i];
    // A command that talks to a server has --api-key already: the key that it shows to the server.
    if (key.flag.empty() || command.get_option_no_throw(key.flag) != nullptr) continue;
    std::string meaning = key.meaning;
    if (!key.default_text.empty()) meaning += fmt::format(" [{}]", key.default_text);
    meaning += fmt::format(" (env {})", key.environment);
    if (key.type == "boolean") {
      command.add_flag(fmt::format("{},!--no-{}", key.flag, key.flag.substr(2)), flags->values[i], meaning);
      continue;
    }
    command.add_option(key.flag, flags->values[i], meaning)
        ->type_name(type_of_one(key.type))
        ->expected(1, key.repeatable ? kMaxRepeated : 1)
        ->allow_extra_args(false)
        ->multi_option_policy(key.repeatable ? CLI::MultiOptionPolicy::TakeAll : CLI::MultiOptionPolicy::TakeLast);
  }
  return flags;
}

bool has_config_flags(const ConfigFlags& flags) {
  const auto given = [](const std::vector<std::string>& values) { return !values.empty(); };
  return !flags.file.empty() || std::any_of(flags.values.begin(), flags.values.end(), given);
}

ConfigSource config_source(const ConfigFlags& flags) {
  std::vector<std::string> environment;
  for (char** entry = environ; *entry != nullptr; ++entry) environment.emplace_back(*entry);
  EnvironmentSettings from_environment = settings_from_environment(environment);
  const char* const named = std::getenv("MINERVA_CONFIG");
  ConfigSource source{flags.file.empty() && named != nullptr ? named : flags.file,
                      std::move(from_environment.settings),
                      {},
                      std::move(from_environment.warnings)};
  for (std::size_t i = 0; i < config_keys().size(); ++i) {
    for (const std::string& value : flags.values[i]) source.flags.emplace_back(config_keys()[i].name, value);
  }
  return source;
}

}  // namespace minerva::cli
