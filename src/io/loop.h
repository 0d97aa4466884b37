// Loop: the one thread that decides, with its timers, and a few other threads for work that blocks or computes for
// long.
//
// Such work goes to one of two lanes. Each lane has its own threads, so that a disk that needs seconds for a sync
// delays no request.
//
// Threading: the loop's thread only, except for post() and stop(), which any thread may call.
// Ownership: the Loop outlives every Timer, Signal, Stream, Listener and Process that was made with it.
#pragma once

#include <coroutine>
#include <functional>
#include <memory>
#include <optional>

#include "io/task.h"
#include "minerva/base/clock.h"

namespace minerva::io {

enum class Lane {
  kAwaited,  // work that a request waits for: a handshake, a look at files
  kDisk,     // work that no request waits for: to write and sync files, to read ahead
};

class Loop {
 public:
  Loop();
  ~Loop();
  Loop(const Loop&) = delete;
  Loop& operator=(const Loop&) = delete;

  // Runs until stop(). The calling thread is the loop's thread.
  void run();
  void stop();
  // Runs `fn` on the loop's thread, later.
  void post(std::function<void()> fn);
  // Runs `work` on a thread of `lane`, then `done` on the loop's thread.
  void offload(Lane lane, std::function<void()> work, std::function<void()> done);
  // Starts a coroutine that nobody awaits.
  void spawn(Task<void> task);
  // Calls `handler` on the loop's thread for each SIGINT, SIGTERM or SIGHUP the process gets.
  void on_signal(std::function<void(int signal)> handler);

  struct Impl;
  Impl& impl() { return *impl_; }

 private:
  std::unique_ptr<Impl> impl_;
};

// Calls a function once, at a given time. If the Timer is destroyed or armed again, it forgets the earlier call.
class Timer {
 public:
  explicit Timer(Loop& loop);
  ~Timer();
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void arm(TimePoint when, std::function<void()> fn);
  void cancel();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Wakes one waiting coroutine. A notify() while nobody waits is kept for the next wait. It is no queue: two such calls
// count as one.
class Signal {
 public:
  explicit Signal(Loop& loop);
  ~Signal();
  Signal(const Signal&) = delete;
  Signal& operator=(const Signal&) = delete;

  void notify();

  class Waiter {
   public:
    Waiter(Signal& signal, std::optional<TimePoint> until) : signal_(signal), until_(until) {}
    bool await_ready() const noexcept;
    void await_suspend(std::coroutine_handle<> handle);
    // false: the time came before a notify().
    bool await_resume() const noexcept;

   private:
    Signal& signal_;
    std::optional<TimePoint> until_;
  };
  // Requires: nobody else waits.
  Waiter wait() { return Waiter(*this, std::nullopt); }
  Waiter wait_until(TimePoint when) { return Waiter(*this, when); }

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// co_await sleep_until(loop, t).
Task<void> sleep_until(Loop& loop, TimePoint when);

}  // namespace minerva::io
