// The lifeline: an engine never outlives the daemon, and ends the moment it is told to.
//
// Purpose: llama.cpp's server reads its stdin only once the model is loaded, and on SIGTERM waits for a line on stdin
// that nobody sends. So one thread of our own waits for the end of stdin and for SIGTERM or SIGINT, from before the
// load on, and ends the process at once: it holds nothing that would need saving.
// Threading: call once, from main(), before any other thread exists (the signals are blocked in all of them).
// It does not read from stdin: the server's own commands on it work as before.
#pragma once

namespace minerva::engine {

// Effect: this process dies with its parent, and with the other end of its stdin (a pipe or a socket).
void hold_lifeline();

}  // namespace minerva::engine
