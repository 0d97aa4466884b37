// Waiting: a coroutine's wait for the answer of a life-cycle call, or for the end of its client.
//
// Threading: the loop's thread. Lives in the coroutine that waits, at least until the call was answered or cancelled.
#pragma once

#include <optional>

#include "host/model_host.h"
#include "io/http.h"
#include "io/loop.h"
#include "io/task.h"

namespace minerva {

struct Waiting {
  explicit Waiting(io::Loop& loop) : woken(loop) {}
  io::Signal woken;
  std::optional<Result<Done>> answer;
  bool gone = false;

  ModelHost::DoneCallback callback() {
    return [this](Result<Done> result) {
      answer = std::move(result);
      woken.notify();
    };
  }
  void watch(io::HttpServerConnection& connection) {
    connection.watch_peer([this] {
      gone = true;
      woken.notify();
    });
  }
};

// Waits for the answer of the call `request`, which answers into `waiting`. If the client goes away, the call is
// cancelled. Errors: those of the call; kCancelled: the client went away.
io::Task<Result<Done>> wait_for_answer(ModelHost& host, io::HttpServerConnection& connection, Waiting& waiting,
                                       RequestId request);

}  // namespace minerva
