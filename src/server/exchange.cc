#include "server/exchange.h"

#include <fmt/format.h>

namespace minerva {

io::Task<void> Exchange::respond(int code, std::string content_type, std::string body) {
  status = code;
  io::ResponseHead head;
  head.status = code;
  head.headers.add("Content-Type", std::move(content_type));
  head.headers.add("x-request-id", request_id);
  co_await connection.respond(std::move(head), body);
}

io::Task<void> Exchange::json(int code, std::string body) {
  co_await respond(code, "application/json", std::move(body));
}

io::Task<void> Exchange::error(const Error& error) {
  status = error_info(error.code).http_status;
  if (error.code == ErrorCode::kCancelled) {  // the client went away: nobody reads an answer
    connection.abort();
    co_return;
  }
  io::ResponseHead head;
  head.status = status;
  head.headers.add("Content-Type", "application/json");
  head.headers.add("x-request-id", request_id);
  if (!model.empty()) head.headers.add("x-minerva-model", model);
  if (error.code == ErrorCode::kUnauthorized) head.headers.add("WWW-Authenticate", "Bearer");
  if (error.retry_after_s > 0) head.headers.add("Retry-After", std::to_string(error.retry_after_s));
  const std::string body = api::error_body(dialect, error);
  co_await connection.respond(std::move(head), body);
}

io::Task<Result<std::string>> Exchange::body(Bytes limit) {
  const auto too_large = [&] {
    return fail(ErrorCode::kTooLarge, fmt::format("the request's body is larger than {}", format_bytes(limit)));
  };
  if (request.content_length.value_or(0) > limit.count()) co_return too_large();
  std::string text;
  while (true) {
    const Result<std::string_view> piece = co_await connection.read_body();
    if (!piece) co_return Failure(piece.error());
    if (piece->empty()) co_return text;
    if (text.size() + piece->size() > limit.count()) co_return too_large();
    if (!queued.add(piece->size())) co_return fail(too_many_bodies());
    text += *piece;
  }
}

Error too_many_bodies() {
  return {ErrorCode::kQueueFull, "Too many request bodies are waiting. Try again later.", "", 1};
}

}  // namespace minerva
