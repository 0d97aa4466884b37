// InterruptGuard: catches Ctrl-C while it exists, so that only the current work ends, and the program goes on.
//
// Threading: one guard at a time. It sets no SA_RESTART, so that a wait for input or for the server ends.
#pragma once

#include <signal.h>

#include <atomic>

namespace minerva::cli {

class InterruptGuard {
 public:
  InterruptGuard() {
    struct sigaction action{};
    action.sa_handler = [](int) { interrupted = true; };
    ::sigaction(SIGINT, &action, &previous_);
  }
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  ~InterruptGuard() { ::sigaction(SIGINT, &previous_, nullptr); }

  // Set by Ctrl-C.
  static inline std::atomic<bool> interrupted = false;
  static_assert(std::atomic<bool>::is_always_lock_free);

 private:
  struct sigaction previous_{};
};

}  // namespace minerva::cli
