// The system calls an engine may not make (seccomp).
//
// A list of what is refused, not of what is allowed: llama.cpp, the C++ library and the thread library call what they
// like between versions, and landlock already guards files. Refused is what reaches beyond this process: other
// programs, other processes, the network, kernel interfaces with a history, and changes to files' owners and modes,
// which landlock does not govern.
// Refused calls fail with EPERM instead of killing: libraries probe for features and do without, and the error of a
// call that was really wanted ends up in the engine's log with a name to it. It gives an attacker nothing.
// Threading: refuse_calls() before any other thread exists; refuse_new_sockets() at any time, for all threads.
#pragma once

#include <string>

namespace minerva::engine {

bool can_filter_syscalls();

// Effect: sockets other than Unix streams are refused, and connecting any. Returns what failed, empty when it holds.
// Requires: no_new_privs.
std::string refuse_calls();

// Effect: no socket is made, bound or listened on any more. Connections to one that listens are still accepted.
std::string refuse_new_sockets();

}  // namespace minerva::engine
