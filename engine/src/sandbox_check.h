// `minerva-engine sandbox-check [serve|inspect FILE]`: what the kernel offers, and whether the sandbox holds.
//
// With FILE it enters the sandbox as an engine does, tries what an engine must not be able to do, and prints the
// results as one JSON object:
//   {"landlock": 7, "seccomp": true,
//    "attempts": {"read_file": "EACCES", "exec": "EPERM", "read_self": "ok", ...}}
// FILE must not be among MINERVA_SANDBOX_PATHS. It may be damaged if the sandbox does not hold.
// It does not judge the results.
#pragma once

namespace minerva::engine {

// argv[0] is the program. Returns the exit code: 0, or 2 for wrong usage.
int sandbox_check(int argc, char ** argv);

}  // namespace minerva::engine
