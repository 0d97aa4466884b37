// Exchange: one request and how to answer it. What every handler gets.
//
// Threading: the loop's thread. Lives on its connection's coroutine.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "api/content_decoder.h"
#include "api/dialect.h"
#include "api/query.h"
#include "io/http.h"
#include "minerva/base/result.h"
#include "minerva/context/types.h"
#include "server/queued_bytes.h"

namespace minerva {

struct Route;

// The longest body of a request without a prompt.
constexpr Bytes kMaxSmallBody = Bytes::mib(1);

struct Exchange {
  io::HttpServerConnection& connection;
  io::RequestHead request;
  std::string path;       // without the query: as it came; once it has a route, as an engine is asked
  std::string raw_query;  // as it came, without "?"
  api::Query query;       // once the caller may ask
  std::string request_id;
  TimePoint arrived;
  QueuedBytes queued;            // of its body, as far as that is kept
  int status = 0;                // of the answer, for the log and the metrics; 499 when the client went away
  ModelId model = {};            // once known
  Caller caller = {};            // once let in
  std::string caller_name = {};  // for people: its key's, or where it is; empty: not known
  api::Dialect dialect = api::Dialect::kOpenAi;  // its route's
  const Route* route = nullptr;                  // once found; static storage
  std::string path_model = {};  // the model that its path names: neither its body nor its query is asked for one
  bool opaque_body = false;     // may be of any type: only JSON and forms are looked at

  // Answers with JSON. Adds x-request-id.
  io::Task<void> json(int code, std::string body);
  // Answers with the dialect's error shape and the code's status; Retry-After if the error has one.
  io::Task<void> error(const Error& error);
  // Any answer of a known length.
  io::Task<void> respond(int code, std::string content_type, std::string body);
  // The next piece of the body, without its Content-Encoding; empty at its end. Valid until the next call.
  // Errors: kUnsupportedMedia, kInvalidArgument (not what its encoding says, or cut), kTooLarge (it grows too much),
  // kQueueFull, and those of HttpServerConnection::read_body.
  io::Task<Result<std::string_view>> read_body();
  // All of it was read.
  bool body_done() const { return encoded ? decoded : connection.body_done(); }
  // It is encoded. Known once some of it was read.
  bool decodes() const { return encoded; }
  // The whole body, at most `limit` bytes. Errors: kTooLarge, kQueueFull, and those of read_body().
  io::Task<Result<std::string>> body(Bytes limit);

  // Of read_body().
  bool reads_body = false;
  bool encoded = false;
  bool decoded = false;
  std::unique_ptr<api::ContentDecoder> decoder = {};
  std::size_t decoder_memory = 0;  // that was counted
};

Error body_too_large(Bytes limit);
// All bodies that are kept together are larger than limits.max_queued_bytes.
Error too_many_bodies();

}  // namespace minerva
