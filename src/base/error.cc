#include "minerva/base/error.h"

#include <algorithm>
#include <array>

#include "minerva/base/check.h"

namespace minerva {
namespace {

constexpr std::string_view kRequest = "invalid_request_error";
constexpr std::string_view kRateLimit = "rate_limit_error";
constexpr std::string_view kServer = "api_error";

// In the order of the enum, so that error_info() is an index.
constexpr std::array kTable = {
    ErrorInfo{ErrorCode::kInvalidArgument, "invalid_argument", 400, kRequest, 2},
    ErrorInfo{ErrorCode::kUnauthorized, "invalid_api_key", 401, "authentication_error", 1},
    ErrorInfo{ErrorCode::kForbidden, "forbidden", 403, "permission_error", 1},
    ErrorInfo{ErrorCode::kModelNotFound, "model_not_found", 404, kRequest, 4},
    ErrorInfo{ErrorCode::kModelNotLoaded, "model_not_loaded", 409, kRequest, 1},
    ErrorInfo{ErrorCode::kRouteNotFound, "route_not_found", 404, kRequest, 1},
    ErrorInfo{ErrorCode::kMethodNotAllowed, "method_not_allowed", 405, kRequest, 1},
    ErrorInfo{ErrorCode::kConflict, "conflict", 409, kRequest, 1},
    ErrorInfo{ErrorCode::kTooLarge, "body_too_large", 413, kRequest, 1},
    ErrorInfo{ErrorCode::kUnsupportedMedia, "unsupported_media_type", 415, kRequest, 1},
    ErrorInfo{ErrorCode::kHeadersTooLarge, "headers_too_large", 431, kRequest, 1},
    ErrorInfo{ErrorCode::kInvalidModel, "invalid_model", 422, kRequest, 1},
    ErrorInfo{ErrorCode::kBudgetExceeded, "memory_budget_exceeded", 422, kRequest, 1},
    ErrorInfo{ErrorCode::kUnsupported, "unsupported", 400, kRequest, 1},
    ErrorInfo{ErrorCode::kQueueFull, "queue_full", 429, kRateLimit, 1},
    ErrorInfo{ErrorCode::kNoCapacity, "no_capacity", 503, kServer, 1},
    ErrorInfo{ErrorCode::kQuarantined, "model_quarantined", 503, kServer, 1},
    ErrorInfo{ErrorCode::kDraining, "draining", 503, kServer, 1},
    ErrorInfo{ErrorCode::kNotSupported, "not_supported", 501, kRequest, 1},
    ErrorInfo{ErrorCode::kEngineCrashed, "engine_crashed", 502, kServer, 1},
    ErrorInfo{ErrorCode::kEngineTimeout, "engine_timeout", 504, kServer, 1},
    ErrorInfo{ErrorCode::kCancelled, "cancelled", 499, kRequest, 1},
    ErrorInfo{ErrorCode::kTimeout, "request_timeout", 408, kRequest, 1},
    ErrorInfo{ErrorCode::kUnreachable, "unreachable", 503, kServer, 3},
    ErrorInfo{ErrorCode::kIo, "io_error", 500, kServer, 1},
    ErrorInfo{ErrorCode::kInternal, "internal_error", 500, kServer, 1},
};

constexpr bool in_enum_order() {
  for (std::size_t i = 0; i < kTable.size(); ++i) {
    if (static_cast<std::size_t>(kTable[i].code) != i) return false;
  }
  return true;
}
static_assert(in_enum_order());
static_assert(kTable.size() == static_cast<std::size_t>(ErrorCode::kInternal) + 1);

}  // namespace

const ErrorInfo& error_info(ErrorCode code) {
  const auto index = static_cast<std::size_t>(code);
  check(index < kTable.size(), "an error code outside the enum");
  return kTable[index];
}

const ErrorInfo* find_error_info(std::string_view name) {
  const auto* row = std::find_if(kTable.begin(), kTable.end(), [&](const ErrorInfo& r) { return r.name == name; });
  return row == kTable.end() ? nullptr : row;
}

}  // namespace minerva
