// The timed waits of llama.cpp's server. This makes the server notice a lost client soon, also while other requests
// keep it busy, and it tells main_loop.cc when the inference loop rests.
//
// Purpose: a thread that serves a request waits for results on a condition variable that all requests share, for up to
// a second. It looks at its connection only when that wait times out. Every token of any other stream wakes the thread
// and starts the second anew. So the thread would never notice that the client is gone, and the generation would run to
// its end. Here such a wait times out at least every kInterval, counted from the thread's last timeout, however often
// the thread is woken. The callers loop and check their condition again, so an early timeout costs them only that
// check.
// Threading: any thread. The state is per thread.
// libstdc++ does not use the result of a timed wait, but reads the clock right after it. So that one reading, by that
// thread, gets the deadline as its answer. Waits of the main thread, and longer waits, last as long as they should.
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>

#include "main_loop.h"
#include "thread_share.h"

extern "C" {
// The linker's names for the function that it wraps; std::condition_variable::wait_for() calls it.
int __real_pthread_cond_clockwait(pthread_cond_t * condition, pthread_mutex_t * mutex, clockid_t clock,
                                  const timespec * deadline);
int __wrap_pthread_cond_clockwait(pthread_cond_t * condition, pthread_mutex_t * mutex, clockid_t clock,
                                  const timespec * deadline);
// std::chrono::steady_clock::now()
std::chrono::steady_clock::time_point __real__ZNSt6chrono3_V212steady_clock3nowEv();
std::chrono::steady_clock::time_point __wrap__ZNSt6chrono3_V212steady_clock3nowEv();
}

namespace {

constexpr std::int64_t kSecond = 1'000'000'000;  // in nanoseconds, like all times here
constexpr std::int64_t kInterval = kSecond / 20;
constexpr std::int64_t kLongestAffected = kSecond;

std::int64_t to_ns(const timespec & t) { return t.tv_sec * kSecond + t.tv_nsec; }

std::int64_t now_ns(clockid_t clock) {
    timespec now;
    clock_gettime(clock, &now);
    return to_ns(now);
}

// What this thread's next reading of the steady clock returns; 0: the time.
thread_local std::int64_t next_reading_ns = 0;

}  // namespace

int __wrap_pthread_cond_clockwait(pthread_cond_t * condition, pthread_mutex_t * mutex, clockid_t clock,
                                  const timespec * deadline) {
    if (minerva::engine::on_main_thread()) {
        minerva::engine::rest_threads();
        minerva::engine::main_loop_wait_begins();
        const int result = __real_pthread_cond_clockwait(condition, mutex, clock, deadline);
        minerva::engine::main_loop_wait_ends();
        return result;
    }
    const std::int64_t now = now_ns(clock);
    if (clock != CLOCK_MONOTONIC || to_ns(*deadline) - now > kLongestAffected) {
        return __real_pthread_cond_clockwait(condition, mutex, clock, deadline);
    }
    static thread_local std::int64_t next_timeout = 0;
    int result = ETIMEDOUT;
    if (now < next_timeout) {
        const std::int64_t end = std::min(to_ns(*deadline), next_timeout);
        const timespec earlier = {end / kSecond, end % kSecond};
        result = __real_pthread_cond_clockwait(condition, mutex, clock, &earlier);
    }
    if (result == ETIMEDOUT) {
        next_timeout = now_ns(clock) + kInterval;
        next_reading_ns = to_ns(*deadline);
    }
    return result;
}

std::chrono::steady_clock::time_point __wrap__ZNSt6chrono3_V212steady_clock3nowEv() {
    if (next_reading_ns != 0) {
        const std::chrono::nanoseconds reading(next_reading_ns);
        next_reading_ns = 0;
        return std::chrono::steady_clock::time_point(reading);
    }
    return __real__ZNSt6chrono3_V212steady_clock3nowEv();
}
