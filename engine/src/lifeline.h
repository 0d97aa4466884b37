// The lifeline: an engine never outlives the daemon, ends as soon as it is told to, and reads the daemon's commands.
//
// Purpose: llama.cpp's server reads its stdin only once the model is loaded, and on SIGTERM waits for a line on stdin
// that nobody sends. So a thread of our own reads stdin and waits for SIGTERM and SIGINT, from before the load on. The
// end of stdin, or a signal, ends the process at once: nothing in it needs saving.
// Protocol: protocol/agent.h. A footprint (footprint.h) in an answer is the sum of what the engine holds and of what
// its conversations may still come to, by what the daemon said.
//
// Threading: call once, from main(), before any other thread exists (the signals are blocked in all of them).
// llama.cpp's server gets a stdin on which nothing ever comes.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>

#include "parking.h"

namespace minerva::engine {

// Effect: this process ends with its parent, and when the other end of its stdin is closed (a pipe, or a socket for
// answers).
void hold_lifeline(std::unique_ptr<Parking> parking);
// Sends the daemon a line that answers no request. Any thread. No effect if stdin is a pipe.
void tell_daemon(const nlohmann::ordered_json & json);

}  // namespace minerva::engine
