// The driver of command engines: any program that speaks HTTP as OpenAI's API does, named by the config.
//
// It listens where "${PORT}" (a free port of 127.0.0.1) or "${SOCKET}" (a Unix socket's path in a private folder) says,
// and is ready once GET of its health path is answered with 2xx. It is asked to end with SIGTERM. A launcher
// (apps/launcher.cc) sees to it that nothing of it is left, also when the daemon is killed. There is no sandbox: it is
// a program of the operator's. It takes the memory that the config says.
// Threading and ownership: as engine.h says.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "io/loop.h"

namespace minerva {

struct CommandDriverOptions {
  std::string launcher_path;  // minerva-launcher
  std::string runtime_dir;    // sockets go here; made with mode 0700
};

// minerva-launcher beside the running program.
std::string default_launcher_path();

// Drives the models that have a command, and leaves all others to `others`.
std::unique_ptr<EngineDriver> make_command_driver(io::Loop& loop, CommandDriverOptions options,
                                                  std::unique_ptr<EngineDriver> others);

}  // namespace minerva
