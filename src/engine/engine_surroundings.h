// What all engines have in common, whichever driver starts them: their environment, their own socket, and the error for
// their end.
//
// Threading: any thread.
#pragma once

#include <string>
#include <vector>

#include "io/process.h"
#include "io/stream.h"
#include "minerva/base/result.h"

namespace minerva {

// "NAME=value": the few variables that an engine inherits from the daemon, and then `more`. Nothing else, since
// programs take settings (LLAMA_ARG_*), keys and even their port (AIP_MODE) from their environment.
std::vector<std::string> engine_environment(const std::vector<std::string>& more);

// The path of a socket in `folder` that no other engine of this process has. Makes the folder with mode 0700 if needed.
// Errors: kIo; kInvalidArgument when the path is longer than a socket's path may be (107 bytes).
Result<io::Address> fresh_socket(const std::string& folder);

// kEngineCrashed: why an engine ended that nobody asked to end. `last_words`: from its log, may be empty.
Error death(const io::ExitStatus& status, bool was_ready, const std::string& last_words);

}  // namespace minerva
