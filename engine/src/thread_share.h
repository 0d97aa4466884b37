// Several engines on one machine: each computes with its share of the threads.
//
// Purpose: ggml's threads wait for each other by spinning. Two engines with a thread per core each spend most of both
// on spinning, and decode at a third of the speed of one engine alone. With half the threads each they do more than one
// alone. After each computation the threads spin for another tenth of a second, in case there is a next one: an engine
// that has answered, and perhaps is parked, would take a core from the engine that is asked next.
// Threading: any.
#pragma once

namespace minerva::engine {

// From the next computation on, the engine uses a `sharers`-th of the threads it was given (-t), but at least one; the
// others sleep. 1: all threads.
void share_threads(int sharers);

// Effect: spinning threads sleep until the next computation. Requires: called on the thread that computes.
void rest_threads();

}  // namespace minerva::engine
