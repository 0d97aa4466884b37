// beside: a piece of blocking work, done on another thread while a coroutine waits for what it returns.
//
// Threading: `work` runs on `lane`'s threads; the coroutine goes on on the loop's thread, and only once the work has
// ended, so that what `work` refers to may be the coroutine's own.
#pragma once

#include <functional>
#include <optional>
#include <utility>

#include "io/loop.h"
#include "io/task.h"

namespace minerva::io {

template <typename T>
Task<T> beside(Loop& loop, Lane lane, std::function<T()> work) {
  Signal done(loop);
  std::optional<T> result;
  loop.offload(lane, [&] { result = work(); }, [&] { done.notify(); });
  co_await done.wait();
  co_return *std::move(result);
}

}  // namespace minerva::io
