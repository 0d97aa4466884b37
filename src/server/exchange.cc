#include "server/exchange.h"

#include <fmt/format.h>

#include <utility>

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
  if (error.code == ErrorCode::kCancelled) {  // nobody reads an answer
    connection.abort();
    co_return;
  }
  io::ResponseHead head;
  head.status = status;
  head.headers.add("Content-Type", "application/json");
  head.headers.add("x-request-id", request_id);
  if (!model.empty()) head.headers.add("x-minerva-model", model);
  if (error.code == ErrorCode::kUnauthorized) {
    head.headers.add("WWW-Authenticate", "Bearer");
    // OpenAI's and Anthropic's clients know this field. Without it Claude Code repeats a request with a mistyped key
    // for three minutes.
    head.headers.add("x-should-retry", "false");
  }
  if (error.code == ErrorCode::kUnsupportedMedia) {
    head.headers.add("Accept-Encoding", std::string(api::kContentEncodings));
  }
  if (error.retry_after_s > 0) head.headers.add("Retry-After", std::to_string(error.retry_after_s));
  const std::string body = api::error_body(dialect, error);
  co_await connection.respond(std::move(head), body);
}

io::Task<Result<std::string_view>> Exchange::read_body() {
  if (!std::exchange(reads_body, true) && request.has_body()) {
    constexpr std::string_view kName = "content-encoding";
    const std::string* const encoding = request.headers.find(kName);
    // Several fields of that name are one list.
    const bool several = request.headers.count(kName) > 1;
    auto made = api::make_decoder(several ? "several" : encoding == nullptr ? std::string_view() : *encoding);
    if (!made) co_return Failure(made.error());
    decoder = *std::move(made);
    encoded = decoder != nullptr;
  }
  if (!encoded) co_return co_await connection.read_body();
  while (!decoded) {
    const Result<std::string_view> piece = decoder->next();
    if (!piece) co_return Failure(piece.error());
    if (const std::size_t memory = decoder->memory(); memory > decoder_memory) {
      if (!queued.add(memory - decoder_memory)) co_return fail(too_many_bodies());
      decoder_memory = memory;
    }
    if (!piece->empty()) co_return piece;
    const Result<std::string_view> input = co_await connection.read_body();
    if (!input) co_return Failure(input.error());
    if (!input->empty()) {
      decoder->feed(*input);
      continue;
    }
    if (const auto end = decoder->finish(); !end) co_return Failure(end.error());
    decoded = true;
    decoder.reset();
  }
  co_return std::string_view();
}

io::Task<Result<std::string>> Exchange::body(Bytes limit) {
  if (request.content_length.value_or(0) > limit.count()) co_return fail(body_too_large(limit));
  std::string text;
  while (true) {
    const Result<std::string_view> piece = co_await read_body();
    if (!piece) co_return Failure(piece.error());
    if (piece->empty()) co_return text;
    if (text.size() + piece->size() > limit.count()) co_return fail(body_too_large(limit));
    if (!queued.add(piece->size())) co_return fail(too_many_bodies());
    text += *piece;
  }
}

Error body_too_large(Bytes limit) {
  return {ErrorCode::kTooLarge, fmt::format("The request's body is larger than {}.", format_bytes(limit))};
}

Error too_many_bodies() {
  return {ErrorCode::kQueueFull, "Too many request bodies are waiting. Try again later.", "", 1};
}

}  // namespace minerva
