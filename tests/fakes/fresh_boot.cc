// fresh_boot.so: preloaded into a program, it makes the program's steady clock start near zero, as on a machine that
// was just booted. It is for machines that permit no time namespace (tests/fresh_boot.sh). FRESH_BOOT_AGO_S says how
// many seconds the machine's own clock is ahead. It uses system calls only, so that it works under sanitizers.
#include <dlfcn.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>

namespace {

time_t ahead_s() {
  const char* const text = std::getenv("FRESH_BOOT_AGO_S");
  return text == nullptr ? 0 : static_cast<time_t>(std::strtol(text, nullptr, 10));
}

bool starts_at_boot(clockid_t clock) {
  return clock == CLOCK_MONOTONIC || clock == CLOCK_MONOTONIC_COARSE || clock == CLOCK_MONOTONIC_RAW ||
         clock == CLOCK_BOOTTIME;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* now) noexcept {
  const long result = ::syscall(SYS_clock_gettime, clock, now);
  if (result == 0 && starts_at_boot(clock)) now->tv_sec -= ahead_s();
  return static_cast<int>(result);
}

// std::condition_variable::wait_until() calls this. The kernel counts by its own clock, so the time is converted.
int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until) {
  using Function = int (*)(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*);
  static const auto real = reinterpret_cast<Function>(::dlsym(RTLD_NEXT, "pthread_cond_clockwait"));
  timespec moved = *until;
  if (starts_at_boot(clock)) moved.tv_sec += ahead_s();
  return real(condition, mutex, clock, &moved);
}

}  // extern "C"
