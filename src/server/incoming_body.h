// IncomingBody: the body of an inference request while it arrives. It is read as far as the model is known, and is
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

  // Reads the whole body; of a large one only so much that the model is known.
  // Errors: kInvalidArgument, kTooLarge, kQueueFull, and those of Exchange::read_body.
  io::Task<Result<api::Routing>> read_routing();
  // Reads the rest too. Its routing counts from now on. Requires: read_routing() found no error. Errors: as there.
  io::Task<Result<api::Routing>> read_rest();

  // The part that was read so far and is kept.
  std::string& text() { return text_; }
  // Where the members of text() are, as the client sent it; nullptr if there is no body, or if it is no JSON.
  const std::vector<api::MemberSpan>* members() const { return scan_ == nullptr ? nullptr : scan_->members(); }
  // Whether text() is the whole body. A compressed body is always read as a whole, since the engine gets its size
  // ahead.
  bool whole() const { return x_.body_done(); }
  // The next piece beyond text(), which is not kept; empty at the end. Errors: those of the scan, see refusal(), and
  // those of Exchange::read_body.
  io::Task<Result<std::string_view>> next();
  // The error that the scan found; nothing if the connection failed.
  std::optional<Error> refusal();

 private:
  io::Task<Result<api::Routing>> read(bool all);

  Exchange& x_;
  Bytes limit_;  // of the whole body
  std::unique_ptr<api::BodyScan> scan_;
  std::string text_;
};

}  // namespace minerva
