// Several engines on one machine: each computes with its share of the threads.
//
// Purpose: ggml's threads wait for each other by spinning. Two engines with a thread per core each spin away most of
// both, and decode at a third of what one alone does; with half the threads each they do more than one alone. After
// each computation they go on spinning for a tenth of a second, in case there is another: an engine that has answered,
// and is parked perhaps, would take a core from the one that is asked next.
// Threading: any.
#pragma once

namespace minerva::engine {

// From the next computation on, of the threads asked for (-t) a `sharers`-th is used, at least one; the others sleep.
// 1: all.
void share_threads(int sharers);

// Effect: threads that spin sleep until the next computation. Requires: on the thread that computes.
void rest_threads();

}  // namespace minerva::engine
