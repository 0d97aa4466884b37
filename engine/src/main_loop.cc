#include "main_loop.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace minerva::engine {
namespace {

std::mutex mutex;
std::condition_variable rests;
std::condition_variable released;
std::atomic<bool> waiting{false};  // written under the mutex
bool held = false;
// How many threads wait until the loop is between two batches; written under the mutex.
std::atomic<int> wanted{0};
bool between_batches = false;
std::uint64_t holds = 0;  // how often the loop was held
// Locked by the thread that holds the loop, or tries to.
std::timed_mutex one_holder;

using Deadline = std::chrono::system_clock::time_point;

Deadline deadline(std::chrono::milliseconds patience) {
    // The system's clock, since condition_wait.cc changes waits on the steady clock.
    return std::chrono::system_clock::now() + patience;
}

}  // namespace

bool on_main_thread() {
    static thread_local const bool result = syscall(SYS_gettid) == getpid();
    return result;
}

bool hold_main_loop(std::chrono::milliseconds patience) {
    const Deadline end = deadline(patience);
    if (!one_holder.try_lock_until(end)) {
        return false;
    }
    std::unique_lock<std::mutex> lock(mutex);
    rests.wait_until(lock, end, [] { return waiting.load(); });
    held = waiting;
    if (!held) {
        one_holder.unlock();
    }
    return held;
}

bool hold_between_batches(std::chrono::milliseconds patience) {
    const Deadline end = deadline(patience);
    if (!one_holder.try_lock_until(end)) {
        return false;
    }
    std::unique_lock<std::mutex> lock(mutex);
    ++wanted;
    held = rests.wait_until(lock, end, [] { return waiting || between_batches; });
    --wanted;
    ++holds;
    if (!held) {
        released.notify_one();
        one_holder.unlock();
    }
    return held;
}

void release_main_loop() {
    {
        const std::lock_guard<std::mutex> lock(mutex);
        held = false;
    }
    released.notify_one();
    one_holder.unlock();
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

void main_loop_is_between_batches() {
    if (wanted == 0) {
        return;
    }
    std::unique_lock<std::mutex> lock(mutex);
    between_batches = true;
    rests.notify_one();
    // One thread is let in. The next one waits for the next batch: several must not keep the loop from its work.
    released.wait(lock, [before = holds] { return !held && (wanted == 0 || holds != before); });
    between_batches = false;
}

}  // namespace minerva::engine
