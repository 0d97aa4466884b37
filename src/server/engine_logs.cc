#include "server/engine_logs.h"

#include <deque>

#include "server/access.h"

namespace minerva {
namespace {

constexpr std::size_t kMaxFollowQueue = 1000;  // how many lines a slow reader may be behind
constexpr auto kFollowHeartbeat = std::chrono::seconds(15);

}  // namespace

std::string log_text(const NamedLogs& logs, std::size_t tail) {
  std::string text;
  for (const auto& [prefix, log] : logs) {
    for (const std::string& line : log->tail(tail)) text += prefix + line + "\n";
  }
  return text;
}

io::Task<void> follow_logs(Service& service, Exchange& x, const NamedLogs& logs, std::size_t tail) {
  const std::string text = log_text(logs, tail);
  io::Signal woken(service.loop);
  bool gone = x.request.method == "HEAD";
  std::deque<std::string> lines;
  std::vector<std::shared_ptr<void>> following;
  for (const auto& [prefix, log] : logs) {
    following.push_back(log->follow([&, &begin = prefix](std::string_view line) {
      if (lines.size() >= kMaxFollowQueue) lines.pop_front();
      lines.push_back(begin + std::string(line));
      woken.notify();
    }));
  }
  io::ResponseHead head;
  head.headers.add("Content-Type", "text/plain; charset=utf-8");
  head.headers.add("x-request-id", x.request_id);
  x.status = 200;
  x.connection.watch_peer([&] {
    gone = true;
    woken.notify();
  });
  bool open = co_await x.connection.start_with(head, text);
  while (open && !gone && !service.draining && still_welcome(service.config, x.caller)) {
    if (lines.empty()) {
      co_await woken.wait_until(Clock::now() + kFollowHeartbeat);
      continue;
    }
    const std::string line = std::move(lines.front()) + "\n";
    lines.pop_front();
    open = co_await x.connection.send(line);
  }
  x.connection.unwatch_peer();
  co_await x.connection.finish();
}

}  // namespace minerva
