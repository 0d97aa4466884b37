// The `minerva` program: parses its command line and runs one command. This folder has one file per command. All
// commands but `serve` speak HTTP to a running server.
//
// Threading: the calling thread. It cannot start the server by itself: main() hands in a function that does.
#pragma once

#include <functional>

#include "config/config.h"

namespace minerva::cli {

// Serves `config`, which was read from `source`. Returns the exit code.
using ServeFunction = std::function<int(const ConfigSource& source, const Config& config)>;

// Returns the exit code: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage, 3 server unreachable, 4
// no such model.
int run(int argc, const char* const* argv, const ServeFunction& serve);

}  // namespace minerva::cli
