// The engine's main thread, which runs llama.cpp's inference loop: when the loop rests, and how to keep it at rest.
//
// Purpose: the loop waits for work on a condition variable, and the linker gives us that wait (`-Wl,--wrap=`). While
// the main thread is inside the wait, every slot is idle, and nothing touches KV cache, weights or scratch. A held loop
// cannot leave its wait: it does what is posted meanwhile once it is released.
// A busy loop hardly ever waits. What takes only a moment may also come between two of its batches
// (hold_between_batches).
// Threading: hold and release from any thread but the main one. One thread holds at a time; others wait for it.
#pragma once

#include <chrono>

namespace minerva::engine {

bool on_main_thread();

// Effect: the main thread stays in its wait until release(). False if the thread does not come to its wait within
// `patience`, as it has work. (An answer is out a moment before the loop that gave it rests.)
bool hold_main_loop(std::chrono::milliseconds patience);
// The same, but the loop may also be between two batches: slots may be at work, but nothing computes.
bool hold_between_batches(std::chrono::milliseconds patience);
// By the thread that holds it.
void release_main_loop();
// Whether the loop is inside its wait. Any thread, without a lock.
bool main_loop_rests();

// For the wrapped wait only (condition_wait.cc), on the main thread. The second one returns once the loop is not held.
void main_loop_wait_begins();
void main_loop_wait_ends();
// For the loop itself (slots.cc), between two batches: lets a thread that wants to hold the loop do so.
void main_loop_is_between_batches();

}  // namespace minerva::engine
