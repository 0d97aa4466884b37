// The driver of command engines: any program that the config names and that speaks OpenAI's API over HTTP.
//
// The program listens on "${PORT}" (a free port of 127.0.0.1) or "${SOCKET}" (the path of a Unix socket in a private
// folder). It is ready once it answers GET of its health path with a 2xx. SIGTERM asks it to end. A launcher
// (apps/launcher.cc) makes sure that nothing of it is left, even if the daemon is killed. It has no sandbox, since the
// operator chose the program. The config says how much memory it takes.
// Threading and ownership: as engine.h says.
#pragma once

#include <memory>
#include <string>

#include "engine/engine.h"
#include "io/loop.h"

namespace minerva {

struct CommandDriverOptions {
  std::string launcher_path;  // minerva-launcher
  std::string runtime_dir;    // the folder for sockets; made with mode 0700
};

// The path of minerva-launcher beside the running program.
std::string default_launcher_path();

// Drives the models that have a command, and passes all others on to `others`.
std::unique_ptr<EngineDriver> make_command_driver(io::Loop& loop, CommandDriverOptions options,
                                                  std::unique_ptr<EngineDriver> others);

}  // namespace minerva
