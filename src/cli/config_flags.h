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

// Whether any of them was given.
bool has_config_flags(const ConfigFlags& flags);

// Those flags, the file that --config or MINERVA_CONFIG names, and this process's environment.
ConfigSource config_source(const ConfigFlags& flags);

}  // namespace minerva::cli
