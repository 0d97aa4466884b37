// IncomingBody: the body of an inference request, on its way in. It is read as far as it takes to know the model, and
// counted, bounded and scanned meanwhile (routing_scan.h).
//
// Threading: the loop's thread. Ownership: lives on the request's coroutine, with its Exchange.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/routing_scan.h"
#include "io/task.h"
#include "server/exchange.h"

namespace minerva {

class IncomingBody {
 public:
  // `limit`: of the whole body.
  IncomingBody(Exchange& exchange, Bytes limit) : x_(exchange), limit_(limit) {}

  // Reads the whole body, or of a large one as much as it takes to find the model.
  // Errors: kInvalidArgument, kTooLarge, kQueueFull, and those of HttpServerConnection::read_body.
  io::Task<Result<api::Routing>> read_routing();

  // What was read so far.
  const std::string& text() const { return text_; }
  // Nobody needs text() any more.
  void forget() { std::string().swap(text_); }
  // Whether text() is all of it.
  bool whole() const { return x_.connection.body_done(); }
  // The next piece beyond text(), empty at the end; it is not kept. Errors: the scan's, see refusal(), and those of
  // HttpServerConnection::read_body.
  io::Task<Result<std::string_view>> next();
  // What the scan found wrong; nothing if the connection failed.
  std::optional<Error> refusal();

 private:
  Exchange& x_;
  Bytes limit_;
  std::unique_ptr<api::BodyScan> scan_;
  std::string text_;
};

}  // namespace minerva
