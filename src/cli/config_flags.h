// The flags for config keys, which `serve` and `doctor` take.
//
// Threading: one thread. Ownership: the CLI::App refers to the values, so they must live as long as it does.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "config/config.h"

namespace minerva::cli {

struct ConfigFlags {
  std::string file;                              // --config
  std::vector<std::vector<std::string>> values;  // the values of each flag, in the order of config_keys()
};

std::shared_ptr<ConfigFlags> add_config_flags(CLI::App& command);

// Whether any of the flags was given.
bool has_config_flags(const ConfigFlags& flags);

// The source of a config: these flags, the file that --config or MINERVA_CONFIG names, and this process's environment.
ConfigSource config_source(const ConfigFlags& flags);

}  // namespace minerva::cli
