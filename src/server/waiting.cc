#include "server/waiting.h"

#include <utility>

namespace minerva {

io::Task<Result<Done>> wait_for_answer(ModelHost& host, io::HttpServerConnection& connection, Waiting& waiting,
                                       RequestId request) {
  waiting.watch(connection);
  while (!waiting.answer && !waiting.gone) co_await waiting.woken.wait();
  connection.unwatch_peer();
  if (waiting.answer) co_return *std::move(waiting.answer);
  host.cancel(request);
  co_return fail(ErrorCode::kCancelled, "the client went away");
}

}  // namespace minerva
