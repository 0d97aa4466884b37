// `minerva-engine sandbox-check [serve|inspect FILE]`: what the kernel offers, and whether the sandbox holds.
//
// With FILE it enters the sandbox as an engine would, tries what an engine must not be able to do, and says what came
// of it. Prints one JSON object:
//   {"landlock": 7, "seccomp": true,
//    "attempts": {"read_file": "EACCES", "exec": "EPERM", "read_self": "ok", ...}}
// FILE: one that is not among MINERVA_SANDBOX_PATHS, and that may come to harm where the sandbox does not hold.
// It does not judge.
#pragma once

namespace minerva::engine {

// argv[0] is the program. Returns the exit code: 0, or 2 for wrong usage.
int sandbox_check(int argc, char ** argv);

}  // namespace minerva::engine
