// Error codes and the one table that gives each its HTTP status, OpenAI error type and CLI exit code.
//
// The death of an engine is a normal event here, so errors are values (see result.h), not exceptions.
// Threading: plain values; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace minerva {

enum class ErrorCode : std::uint8_t {
  kInvalidArgument,   // malformed request, or a value out of its range
  kUnauthorized,      // no key or a wrong one
  kForbidden,         // Host or Origin not allowed
  kModelNotFound,     // no such model; also a model_path that is missing, forbidden or unreadable
  kModelNotLoaded,    // the model would have to be loaded first, and this request loads nothing
  kRouteNotFound,     // no such route
  kMethodNotAllowed,  // the route exists, the method does not
  kConflict,          // a life-cycle call that would need a busy or pinned model
  kTooLarge,          // the body is over its limit
  kUnsupportedMedia,  // the body has an encoding that the server does not read
  kHeadersTooLarge,   // the request's head is over its limit
  kInvalidModel,      // the file exists, but no engine can run it
  kBudgetExceeded,    // the model needs more than the whole memory budget
  kUnsupported,       // the model cannot do that
  kQueueFull,         // a queue is at its limit
  kNoCapacity,        // the request was not served before its deadline
  kQuarantined,       // the model failed recently; it may be tried again later
  kDraining,          // the server is shutting down
  kNotSupported,      // the server never does that
  kEngineCrashed,     // the engine died
  kEngineTimeout,     // the engine missed a deadline
  kCancelled,         // the client went away, or an operator cancelled it
  kTimeout,           // the client was too slow
  kUnreachable,       // (client side) nothing answers at the server's address
  kIo,                // the operating system refused: file, socket, process
  kInternal,          // a bug, or a state that should be impossible
};

// One row of the table. All views have static storage.
struct ErrorInfo {
  ErrorCode code;
  std::string_view name;  // "model_not_found": the `code` of OpenAI's error shape
  // 499 for kCancelled: the client sees it if an operator cancelled the request; otherwise it is only logged
  int http_status;
  std::string_view openai_type;  // "invalid_request_error", "rate_limit_error", "api_error", ...
  int cli_exit;                  // 1 refused or failed, 2 wrong usage, 3 unreachable, 4 no such model
};

// The row of `code`.
const ErrorInfo& error_info(ErrorCode code);

// The row whose name is `name`, or nullptr.
const ErrorInfo* find_error_info(std::string_view name);

struct Error {
  ErrorCode code = ErrorCode::kInternal;
  std::string message;         // a full sentence for the user; says what to do next
  std::string param = {};      // the request field or config key at fault, empty if none
  int retry_after_s = 0;       // > 0: seconds after which a retry makes sense
  std::uint64_t decision = 0;  // > 0: the Decision that says why (minerva/context/decision.h)
};

}  // namespace minerva
