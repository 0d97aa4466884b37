// The engine's main thread, which runs llama.cpp's inference loop: when the loop rests, and how to keep it at rest.
//
// Purpose: the loop waits for work on a condition variable, and the linker gives us that wait (`-Wl,--wrap=`). While
// the main thread is inside the wait, every slot is idle, and nothing touches KV cache, weights or scratch. A held loop
// cannot leave its wait: it does what is posted meanwhile once it is released.
// Threading: hold and release from one thread that is not the main one.
#pragma once

#include <chrono>

namespace minerva::engine {

bool on_main_thread();

// Effect: the main thread stays in its wait until release(). False if the thread does not come to its wait within
// `patience`, as it has work. (An answer is out a moment before the loop that gave it rests.)
bool hold_main_loop(std::chrono::milliseconds patience);
void release_main_loop();
// Whether the loop is inside its wait. Any thread, without a lock.
bool main_loop_rests();

// For the wrapped wait only (condition_wait.cc), on the main thread. The second one returns once the loop is not held.
void main_loop_wait_begins();
void main_loop_wait_ends();

}  // namespace minerva::engine
