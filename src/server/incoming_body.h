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
#include "config/config.h"
#include "io/task.h"
#include "server/exchange.h"

namespace minerva {

class IncomingBody {
 public:
  IncomingBody(Exchange& exchange, const Config& config) : x_(exchange), limit_(config.max_body) {}

  // Reads the whole body, or of a large one as much as it takes to find the model.
  // Errors: kInvalidArgument, kTooLarge, kQueueFull, and those of Exchange::read_body.
  io::Task<Result<api::Routing>> read_routing();
  // Reads the rest too. What it says of the routing counts. Requires: read_routing() found no error. Errors: as there.
  io::Task<Result<api::Routing>> read_rest();

  // What was read so far.
  std::string& text() { return text_; }
  // Where the members of text() are, as it came; nullptr if there is no body, or it is none of JSON.
  const std::vector<api::MemberSpan>* members() const { return scan_ == nullptr ? nullptr : scan_->members(); }
  // Whether text() is all of it. So it is when it came compressed: an engine is told its size ahead.
  bool whole() const { return x_.body_done(); }
  // The next piece beyond text(), empty at the end; it is not kept. Errors: the scan's, see refusal(), and those of
  // Exchange::read_body.
  io::Task<Result<std::string_view>> next();
  // What the scan found wrong; nothing if the connection failed.
  std::optional<Error> refusal();

 private:
  io::Task<Result<api::Routing>> read(bool all);

  Exchange& x_;
  Bytes limit_;  // of the whole body
  std::unique_ptr<api::BodyScan> scan_;
  std::string text_;
};

}  // namespace minerva
