#include "io/loop.h"

#include <csignal>
#include <utility>

#include "io/asio.h"
#include "minerva/base/check.h"

namespace minerva::io {
namespace {

// A coroutine that owns itself: it is destroyed when its body ends.
struct Detached {
  struct promise_type {
    Detached get_return_object() const noexcept { return {}; }
    std::suspend_never initial_suspend() const noexcept { return {}; }
    std::suspend_never final_suspend() const noexcept { return {}; }
    void return_void() const noexcept {}
    [[noreturn]] void unhandled_exception() const noexcept { std::terminate(); }
  };
};

Detached run_detached(Task<void> task) { co_await task; }

void wait_signal(asio::signal_set& signals, std::shared_ptr<std::function<void(int)>> handler) {
  signals.async_wait([&signals, handler](const boost::system::error_code& error, int number) {
    if (error) return;
    (*handler)(number);
    wait_signal(signals, handler);
  });
}

}  // namespace

Loop::Loop() : impl_(std::make_unique<Impl>()) {
  // A write to a peer that has closed must return an error, not end the program.
  std::signal(SIGPIPE, SIG_IGN);
  // likewise a write to a file at its size limit (ulimit -f): an error, as on a full disk
  std::signal(SIGXFSZ, SIG_IGN);
}

Loop::~Loop() {
  for (const Lane lane : {Lane::kAwaited, Lane::kDisk}) impl_->pool(lane).stop();
  for (const Lane lane : {Lane::kAwaited, Lane::kDisk}) impl_->pool(lane).join();
}

void Loop::run() {
  impl_->context.restart();
  impl_->context.run();
}

void Loop::stop() { impl_->context.stop(); }

void Loop::post(std::function<void()> fn) { asio::post(impl_->context, std::move(fn)); }

void Loop::offload(Lane lane, std::function<void()> work, std::function<void()> done) {
  asio::post(impl_->pool(lane), [this, work = std::move(work), done = std::move(done)]() mutable {
    work();
    post(std::move(done));
  });
}

void Loop::spawn(Task<void> task) { run_detached(std::move(task)); }

void Loop::on_signal(std::function<void(int)> handler) {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) {
    boost::system::error_code ignored;
    impl_->signals.add(number, ignored);
  }
  wait_signal(impl_->signals, std::make_shared<std::function<void(int)>>(std::move(handler)));
}

struct Timer::Impl {
  explicit Impl(asio::io_context& context) : timer(context) {}
  SteadyTimer timer;
  std::function<void()> fn;
  std::uint64_t generation = 0;
};

Timer::Timer(Loop& loop) : impl_(std::make_shared<Impl>(loop.impl().context)) {}

Timer::~Timer() { cancel(); }

void Timer::arm(TimePoint when, std::function<void()> fn) {
  impl_->fn = std::move(fn);
  const std::uint64_t generation = ++impl_->generation;
  impl_->timer.expires_at(when);
  impl_->timer.async_wait([impl = impl_, generation](const boost::system::error_code& error) {
    // When a timer is cancelled or armed again, the old callback may already be queued. The generation tells the old
    // from the new.
    if (error || impl->generation != generation) return;
    const auto call = std::exchange(impl->fn, nullptr);
    call();
  });
}

void Timer::cancel() {
  ++impl_->generation;
  impl_->fn = nullptr;
  impl_->timer.cancel();
}

struct Signal::Impl {
  explicit Impl(asio::io_context& io_context) : context(io_context), timer(io_context) {}
  asio::io_context& context;
  SteadyTimer timer;
  std::coroutine_handle<> waiter;
  bool notified = false;
  bool woken_by_notify = false;
  std::uint64_t generation = 0;
};

Signal::Signal(Loop& loop) : impl_(std::make_shared<Impl>(loop.impl().context)) {}

Signal::~Signal() { check(!impl_->waiter, "a Signal is destroyed while a coroutine waits for it"); }

void Signal::notify() {
  impl_->notified = true;
  if (!impl_->waiter) return;
  // The waiter is posted and not resumed here: the notifier may be in the middle of a change to what the waiter reads.
  ++impl_->generation;
  impl_->timer.cancel();
  const auto waiter = std::exchange(impl_->waiter, nullptr);
  impl_->notified = false;
  impl_->woken_by_notify = true;
  asio::post(impl_->context, [waiter, keep = impl_] { waiter.resume(); });
}

bool Signal::Waiter::await_ready() const noexcept {
  Impl& impl = *signal_.impl_;
  if (!impl.notified) return false;
  impl.notified = false;
  impl.woken_by_notify = true;
  return true;
}

void Signal::Waiter::await_suspend(std::coroutine_handle<> handle) {
  const std::shared_ptr<Impl>& impl = signal_.impl_;
  check(!impl->waiter, "two coroutines wait for one Signal");
  impl->waiter = handle;
  if (!until_) return;
  const std::uint64_t generation = ++impl->generation;
  impl->timer.expires_at(*until_);
  impl->timer.async_wait([impl, generation](const boost::system::error_code& error) {
    if (error || impl->generation != generation) return;
    impl->woken_by_notify = false;
    std::exchange(impl->waiter, nullptr).resume();
  });
}

bool Signal::Waiter::await_resume() const noexcept { return signal_.impl_->woken_by_notify; }

Task<void> sleep_until(Loop& loop, TimePoint when) {
  Signal signal(loop);
  co_await signal.wait_until(when);
}

}  // namespace minerva::io
