// The flags that stand for config keys, as `serve` and `doctor` take them.
//
// Threading: one thread. Ownership: the CLI::App refers to the values, so they live as long as it does.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"

namespace minerva::cli {

struct ConfigFlags {
  std::string file;                              // --config
  std::vector<std::vector<std::string>> values;  // as config_keys(): what was given for each flag
};

std::shared_ptr<ConfigFlags> add_config_flags(CLI::App& command);

// The file that --config or MINERVA_CONFIG names; empty for none.
std::string config_file(const ConfigFlags& flags);
// What the flags set.
Settings given_settings(const ConfigFlags& flags);
// What this process's environment sets. Errors: kInvalidArgument for a MINERVA_ variable that is no setting.
Result<Settings> environment_settings();

}  // namespace minerva::cli
