// The lifeline: an engine never outlives the daemon, ends the moment it is told to, and hears what the daemon says.
//
// Purpose: llama.cpp's server reads its stdin only once the model is loaded, and on SIGTERM waits for a line on stdin
// that nobody sends. So one thread of our own reads stdin and waits for SIGTERM and SIGINT, from before the load on.
// The end of either ends the process at once: it holds nothing that would need saving.
// Protocol: the daemon's lines are in daemon_command.h. On a socket the engine answers, a line of JSON each:
//   at first            {"protocol":1,"can_park":true|false,"why_not":"..."}
//   to a park, a wake   {"parked":true|false,"refused":"...","busy":true|false,"image_wanted_bytes":N,
//   or a drop            "written_bytes":N,"image_bytes":N,"residue_bytes":N,"cached_bytes":N,"missing_bytes":N,
//                        "dropped_bytes":N}
//   to a measure        {"measured":{"footprint_bytes":N,"weights_mapped_bytes":N,"blocks_bytes":N,"rest_bytes":N,
//                        "conversations_bytes":N}}
// "why_not", "refused" and "busy" (it is at work: ask again) are there only when it cannot, or was;
// "image_wanted_bytes" when that was for its size; "residue_bytes" while it is parked: what the process holds of its
// own (own_memory.h). "cached_bytes" and "missing_bytes" are of what the first token after a wake needs, in the page
// cache and not; "dropped_bytes" is what a drop gave back of it. A footprint (footprint.h) is the sum of what it holds
// and of what conversations do not hold yet of what the daemon said they may; "measured" is empty if the kernel does
// not tell. On a pipe there are no answers, and no parking.
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
