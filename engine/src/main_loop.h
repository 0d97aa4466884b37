// The engine's main thread: llama.cpp's inference loop. When it rests, and how to keep it at rest.
//
// Purpose: the loop waits for work on a condition variable; the linker hands us that wait (`-Wl,--wrap=`). While the
// main thread is inside it every slot is idle and nothing touches KV cache, weights or scratch. Held there, it cannot
// leave the wait: whatever is posted meanwhile is worked on once it is let go.
// Threading: hold and release from one thread that is not the main one.
#pragma once

#include <chrono>

namespace minerva::engine {

bool on_main_thread();

// Effect: the main thread stays in its wait until release(). False if it does not come there within `patience`: it has
// work. (An answer is out a moment before the loop that gave it rests.)
bool hold_main_loop(std::chrono::milliseconds patience);
void release_main_loop();
// Whether it is inside its wait. Any thread, without a lock.
bool main_loop_rests();

// For the wrapped wait only (condition_wait.cc), on the main thread. The second returns once it is not held.
void main_loop_wait_begins();
void main_loop_wait_ends();

}  // namespace minerva::engine
