// The `minerva` program.
#include <exception>

#include "base/log.h"
#include "cli/cli.h"
#include "server/server.h"

int main(int argc, char** argv) {
  try {
    return minerva::cli::run(argc, argv, minerva::serve);
  } catch (const std::exception& error) {
    // A bug, or no memory: every other error is a Result.
    minerva::log::error("internal error: {}", error.what());
    return 1;
  }
}
