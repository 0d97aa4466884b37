// Several engines on one machine: each computes with its share of the threads.
//
// Purpose: ggml's threads wait for each other by spinning. Two engines with a thread per core each spin away most of
// both, and decode at a third of what one alone does; with half the threads each they do more than one alone.
// Threading: any.
#pragma once

namespace minerva::engine {

// From the next computation on, of the threads asked for (-t) a `sharers`-th is used, at least one. 1: all.
void share_threads(int sharers);

}  // namespace minerva::engine
