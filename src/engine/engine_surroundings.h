// What every engine's process is given, whichever driver starts it: an environment and a socket of its own.
//
// Threading: any thread.
#pragma once

#include <string>
#include <vector>

#include "io/stream.h"
#include "minerva/base/result.h"

namespace minerva {

// "NAME=value": the few variables of the daemon's that an engine inherits, then `more`. Nothing else, since programs
// take settings (LLAMA_ARG_*), keys and even their port (AIP_MODE) from their environment.
std::vector<std::string> engine_environment(const std::vector<std::string>& more);

// The path of a socket that no other engine of this process has, in `folder`, which is made with mode 0700 if needed.
// Errors: kIo; kInvalidArgument when the path is longer than a socket's can be (107 bytes).
Result<io::Address> fresh_socket(const std::string& folder);

}  // namespace minerva
