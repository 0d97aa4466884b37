// The lifeline: an engine never outlives the daemon, ends as soon as it is told to, and reads the daemon's commands.
//
// Purpose: llama.cpp's server reads its stdin only once the model is loaded, and on SIGTERM waits for a line on stdin
// that nobody sends. So a thread of our own reads stdin and waits for SIGTERM and SIGINT, from before the load on. The
// end of stdin, or a signal, ends the process at once: nothing in it needs saving.
// Protocol: daemon_command.h has the daemon's lines. On a socket the engine answers, with one line of JSON each:
//   at first            {"protocol":1,"can_park":true|false,"why_not":"..."}
//   to a park, a wake   {"parked":true|false,"refused":"...","busy":true|false,"image_wanted_bytes":N,
//   or a drop            "written_bytes":N,"image_bytes":N,"residue_bytes":N,"cached_bytes":N,"missing_bytes":N,
//                        "dropped_bytes":N}
//   to a measure        {"measured":{"footprint_bytes":N,"weights_mapped_bytes":N,"blocks_bytes":N,"rest_bytes":N,
//                        "conversations_bytes":N}}
// "why_not": why the engine cannot park; absent if it can. "refused": why it did not; absent if it did. "busy": it is
// at work, so the daemon may ask again. "image_wanted_bytes": only if the image would have been too large.
// "residue_bytes": only while parked: what the process still holds of its own (own_memory.h). "cached_bytes" and
// "missing_bytes": of what the first token after a wake needs, what is in the page cache and what is not.
// "dropped_bytes": how much page cache a drop gave back. A footprint (footprint.h) is the sum of what the engine holds
// and of what its conversations may still come to, by what the daemon said. "measured" is empty if the kernel does not
// say enough. On a pipe there are no answers, and no parking.
//
// Threading: call once, from main(), before any other thread exists (the signals are blocked in all of them).
// llama.cpp's server gets a stdin on which nothing ever comes.
#pragma once

#include <memory>

#include "parking.h"

namespace minerva::engine {

// Effect: this process ends with its parent, and when the other end of its stdin is closed (a pipe, or a socket for
// answers).
void hold_lifeline(std::unique_ptr<Parking> parking);

}  // namespace minerva::engine
