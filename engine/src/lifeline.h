// The lifeline: an engine never outlives the daemon, ends the moment it is told to, and hears what the daemon says.
//
// Purpose: llama.cpp's server reads its stdin only once the model is loaded, and on SIGTERM waits for a line on stdin
// that nobody sends. So one thread of our own reads stdin and waits for SIGTERM and SIGINT, from before the load on.
// The end of either ends the process at once: it holds nothing that would need saving.
// Protocol: protocol/agent.h. A measurement's footprint (footprint.h) is the sum of what it holds and of what
// conversations do not hold yet of what the daemon said they may.
//
// Threading: call once, from main(), before any other thread exists (the signals are blocked in all of them).
// llama.cpp's server gets a stdin on which nothing ever comes.
#pragma once

#include <memory>

#include "parking.h"

namespace minerva::engine {

// Effect: this process dies with its parent, and with the other end of its stdin (a pipe, or a socket that takes
// answers).
void hold_lifeline(std::unique_ptr<Parking> parking);

}  // namespace minerva::engine
