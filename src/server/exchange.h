// Exchange: one request, and the means to answer it. Every handler gets one.
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
  std::string path;       // without the query; once the route is known: the path that the engine gets
  std::string raw_query;  // as it came, without "?"
  api::Query query;       // parsed once the caller was let in
  std::string request_id;
  TimePoint arrived;
  QueuedBytes queued;            // the bytes of its body that are kept
  int status = 0;                // of the answer, for the log and the metrics; 499 when the client went away
  ModelId model = {};            // set once it is known
  Duration waited{};             // for the model, in line or while it was loaded; set once there is one
  Caller caller = {};            // set once the caller was let in
  std::string caller_name = {};  // for people: the name of its key, or its address; empty: not known
  api::Dialect dialect = api::Dialect::kOpenAi;  // the dialect of its route
  const Route* route = nullptr;                  // set once it is found; static storage
  std::string path_model = {};  // the model that its path names: the body and the query are not asked for one
  bool opaque_body = false;     // the body may be of any type: only JSON and forms are looked at

  // Answers with JSON. Adds x-request-id.
  io::Task<void> json(int code, std::string body);
  // Answers with an error in the dialect's shape and with the status of the code; with Retry-After if the error has
  // one.
  io::Task<void> error(const Error& error);
  // Answers with a body of a known length.
  io::Task<void> respond(int code, std::string content_type, std::string body);
  // The next piece of the body, decoded; empty at the end of the body. Valid until the next call.
  // Errors: kUnsupportedMedia, kInvalidArgument (the body does not have its encoding, or was cut off), kTooLarge (it
  // grows too much), kQueueFull, and those of HttpServerConnection::read_body.
  io::Task<Result<std::string_view>> read_body();
  // Whether all of the body was read.
  bool body_done() const { return encoded ? decoded : connection.body_done(); }
  // Whether the body is encoded. Known once some of it was read.
  bool decodes() const { return encoded; }
  // Reads the whole body, at most `limit` bytes. Errors: kTooLarge, kQueueFull, and those of read_body().
  io::Task<Result<std::string>> body(Bytes limit);

  // read_body() is under way.
  bool reads_body = false;
  bool encoded = false;
  bool decoded = false;
  std::unique_ptr<api::ContentDecoder> decoder = {};
  std::size_t decoder_memory = 0;  // the bytes of it that are counted in `queued`
};

Error body_too_large(Bytes limit);
// The refusal when all bodies that are kept are together larger than limits.max_queued_bytes.
Error too_many_bodies();

}  // namespace minerva
