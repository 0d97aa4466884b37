#include "server/events.h"

#include <fmt/format.h>

#include <charconv>

#include "api/sse.h"
#include "server/access.h"

namespace minerva {
namespace {

constexpr std::size_t kMostAtOnce = std::size_t{64} << 10;  // bytes

// The id of the last event that the client has seen; nothing if the client does not say. Errors: kInvalidArgument.
Result<std::optional<std::uint64_t>> last_seen(const Exchange& x) {
  const std::string* text = x.request.headers.find("last-event-id");
  if (text == nullptr) text = x.query.find("last_event_id");
  if (text == nullptr || text->empty()) return std::nullopt;
  std::uint64_t id = 0;
  const char* const end = text->data() + text->size();
  const auto [parsed, error] = std::from_chars(text->data(), end, id);
  if (error == std::errc() && parsed == end) return id;
  return fail(
      ErrorCode::kInvalidArgument,
      "Last-Event-ID is the id of an event of this stream: a number. Leave it out to begin with what happens now.",
      "last_event_id");
}

}  // namespace

io::Task<void> stream_events(Service& service, Exchange& x, std::string first,
                             std::function<std::string(std::size_t most)> read) {
  io::ResponseHead head;
  head.headers.add("Content-Type", "text/event-stream");
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("x-request-id", x.request_id);
  x.status = 200;
  Watcher watcher(service);
  bool gone = x.request.method == "HEAD";
  x.connection.watch_peer([&] {
    gone = true;
    watcher.woken.notify();
  });
  bool open = co_await x.connection.start_with(head, first);
  while (open && !gone && still_welcome(service.config, x.caller)) {
    std::string text = read(kMostAtOnce);
    if (text.empty()) {
      if (service.draining) break;
      if (co_await watcher.woken.wait_until(Clock::now() + kFeedHeartbeat)) continue;
      text = api::sse_comment("alive");
    }
    open = co_await x.connection.send(text);
  }
  x.connection.unwatch_peer();
  co_await x.connection.finish();
}

io::Task<void> show_events(Service& service, Exchange& x) {
  const Result<std::optional<std::uint64_t>> seen = last_seen(x);
  if (!seen) co_return co_await x.error(seen.error());
  const api::EventLog& log = service.events.log();
  std::uint64_t cursor = seen->value_or(log.last_id());
  // The stream begins with an id alone. A client that loses the connection before the first event then knows where to
  // go on.
  std::string first = fmt::format("{}id: {}\n\n", api::sse_comment("watching"), cursor);
  co_await stream_events(service, x, std::move(first), [&](std::size_t most) { return log.read(cursor, most); });
}

}  // namespace minerva
