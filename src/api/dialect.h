// Dialect: how an API words its errors and frames its streams. One service answers several APIs; each client has to see
// errors in the shape that its own library reads.
//
// Plain functions; any thread. error_info() has our statuses; an engine's is kept where it fits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "api/error_json.h"
#include "minerva/base/error.h"

namespace minerva::api {

enum class Dialect : std::uint8_t {
  kOpenAi,     // {"error":{"message","type","param","code"}}; streams are server-sent events
  kAnthropic,  // {"type":"error","error":{"type","message"}}; in a stream, `event: error`
  kOllama,     // {"error":"text"}; streams are lines of JSON
};

// The body of an error answer.
std::string error_body(Dialect dialect, const Error& error);

// The same for what an engine answered with `status` (not a 2xx), whatever its shape; and the status that it has then.
EngineError engine_error(Dialect dialect, int status, std::string_view body);

// Content-Type of a stream.
std::string_view stream_type(Dialect dialect);

// `error_body` (of one of the two functions above) as the last piece of a stream that has begun.
std::string stream_error(Dialect dialect, std::string_view error_body);

// What a stream that waits gets, so that its client does not time out; empty where an API has nothing that clients
// skip: such a stream begins with its answer.
std::string heartbeat(Dialect dialect, std::string_view progress);

}  // namespace minerva::api
