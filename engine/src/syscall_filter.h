// The system calls that an engine may not make (seccomp).
//
// It lists what is refused, not what is allowed: llama.cpp, the C++ library and the thread library call different
// things in each version, and landlock already guards files. Refused are calls that reach beyond this process: other
// programs, other processes, the network, kernel interfaces with a history of faults, and changes to files' owners and
// modes, which landlock does not cover.
// A refused call fails with EPERM and does not kill the process. Libraries probe for features and do without, and if a
// call was really needed, its error stands in the engine's log with a name. This gives an attacker nothing.
// Threading: refuse_calls() before any other thread exists; refuse_new_sockets() at any time, for all threads.
#pragma once

#include <string>

namespace minerva::engine {

bool can_filter_syscalls();

// Effect: refuses all sockets except for Unix streams, and connections by any. Returns what failed; empty when all
// holds.
// Requires: no_new_privs.
std::string refuse_calls();

// Effect: from now on no socket can be made, bound or made to listen. A listening socket still accepts connections.
std::string refuse_new_sockets();

}  // namespace minerva::engine
