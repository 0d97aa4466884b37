// What engines have in common, whichever driver starts them: an environment, a socket of their own, how an end is told.
//
// Threading: any thread.
#pragma once

#include <string>
#include <vector>

#include "io/process.h"
#include "io/stream.h"
#include "minerva/base/result.h"

namespace minerva {

// "NAME=value": the few variables of the daemon's that an engine inherits, then `more`. Nothing else, since programs
// take settings (LLAMA_ARG_*), keys and even their port (AIP_MODE) from their environment.
std::vector<std::string> engine_environment(const std::vector<std::string>& more);

// The path of a socket that no other engine of this process has, in `folder`, which is made with mode 0700 if needed.
// Errors: kIo; kInvalidArgument when the path is longer than a socket's can be (107 bytes).
Result<io::Address> fresh_socket(const std::string& folder);

// kEngineCrashed: why an engine that nobody ended is gone. `last_words`: of its log, may be empty.
Error death(const io::ExitStatus& status, bool was_ready, const std::string& last_words);

}  // namespace minerva
