// beside(): does a piece of blocking work on another thread, while a coroutine waits for the result.
//
// Threading: `work` runs on a thread of `lane`. The coroutine goes on on the loop's thread, and only once `work` has
// ended: so `work` may refer to the coroutine's local variables.
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
