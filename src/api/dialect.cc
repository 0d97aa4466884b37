#include "api/dialect.h"

#include <fmt/format.h>

#include <cstdint>

#include "api/json.h"
#include "api/sse.h"

namespace minerva::api {
namespace {

// Source: Anthropic's documentation of API errors.
std::string_view anthropic_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status >= 400 && status < 500 ? "invalid_request_error" : "api_error";
  }
}

// Anthropic's words for a prompt that is longer than the context; empty for any other error. Claude Code reads the two
// numbers, summarizes the conversation and goes on.
std::string prompt_too_long(const Json& error) {
  const auto number = [&error](const char* name) {
    const auto member = error.find(name);
    return member != error.end() && member->is_number_integer() ? member->get<std::int64_t>() : 0;
  };
  const std::int64_t tokens = number("n_prompt_tokens");
  const std::int64_t context = number("n_ctx");
  if (tokens <= 0 || context <= 0) return {};
  return fmt::format("prompt is too long: {} tokens > {} maximum: ", tokens, context);
}

std::string error_text(Dialect dialect, int status, const std::string& openai_body) {
  if (dialect == Dialect::kOpenAi) return openai_body;
  const Json openai = Json::parse(openai_body, nullptr, /*allow_exceptions=*/false);
  const Json& error = openai["error"];
  const Json& message = error["message"];
  if (dialect == Dialect::kOllama) return dump(Json{{"error", message}});
  const std::string text = prompt_too_long(error) + message.get<std::string>();
  return dump(Json{{"type", "error"}, {"error", {{"type", anthropic_type(status)}, {"message", text}}}});
}

}  // namespace

std::string error_body(Dialect dialect, const Error& error) {
  return error_text(dialect, error_info(error.code).http_status, error_body(error));
}

EngineError engine_error(Dialect dialect, int status, std::string_view body) {
  const EngineError openai = normalize_engine_error(status, body);
  return {openai.status, error_text(dialect, openai.status, openai.body)};
}

std::string_view stream_type(Dialect dialect) {
  return dialect == Dialect::kOllama ? "application/x-ndjson" : "text/event-stream";
}

std::string stream_error(Dialect dialect, std::string_view error_body) {
  switch (dialect) {
    case Dialect::kOllama:
      return std::string(error_body) + "\n";
    case Dialect::kAnthropic:
      return "event: error\n" + sse_data(error_body);
    case Dialect::kOpenAi:
      break;
  }
  return sse_data(error_body);
}

std::string heartbeat(Dialect dialect, std::string_view progress) {
  return dialect == Dialect::kOllama ? std::string() : sse_comment(progress);
}

}  // namespace minerva::api
