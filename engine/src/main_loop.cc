#include "main_loop.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

namespace minerva::engine {
namespace {

std::mutex mutex;
std::condition_variable rests;
std::condition_variable released;
std::atomic<bool> waiting{false};  // written under the mutex
bool held = false;

}  // namespace

bool on_main_thread() {
    static thread_local const bool result = syscall(SYS_gettid) == getpid();
    return result;
}

bool hold_main_loop(std::chrono::milliseconds patience) {
    std::unique_lock<std::mutex> lock(mutex);
    // On the system's clock, since condition_wait.cc changes waits on the steady clock.
    rests.wait_until(lock, std::chrono::system_clock::now() + patience, [] { return waiting.load(); });
    held = waiting;
    return held;
}

void release_main_loop() {
    {
        const std::lock_guard<std::mutex> lock(mutex);
        held = false;
    }
    released.notify_one();
}

bool main_loop_rests() { return waiting; }

void main_loop_wait_begins() {
    {
        const std::lock_guard<std::mutex> lock(mutex);
        waiting = true;
    }
    rests.notify_one();
}

void main_loop_wait_ends() {
    std::unique_lock<std::mutex> lock(mutex);
    released.wait(lock, [] { return !held; });
    waiting = false;
}

}  // namespace minerva::engine
