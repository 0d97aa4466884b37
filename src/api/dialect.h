// Dialect: how an API writes its errors and frames its streams. One server answers several APIs, and each client must
// see errors in the shape that its library reads.
//
// Plain functions; any thread. error_info() has our statuses; an engine's status is kept where it fits.
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

// The error answer for an engine's answer with `status` (not a 2xx), whatever the shape of that answer; and the status
// that goes with it.
EngineError engine_error(Dialect dialect, int status, std::string_view body);

// Content-Type of a stream.
std::string_view stream_type(Dialect dialect);

// The last piece of a stream that has begun. `error_body`: from one of the two functions above.
std::string stream_error(Dialect dialect, std::string_view error_body);

// What a stream gets while its request waits, so that the client does not time out. Empty if the API has nothing that
// its clients skip: such a stream begins with its answer.
std::string heartbeat(Dialect dialect, std::string_view progress);

}  // namespace minerva::api
