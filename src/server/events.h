// GET /v1/events: sends what happens, as it happens, as server-sent events.
//
// A reader is only a cursor in the feed's log. A reader that is slow or comes back late costs no memory, and learns
// what it lost. limits.max_connections bounds the number of readers.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// A reader gets a comment if nothing happened for so long.
constexpr auto kFeedHeartbeat = std::chrono::seconds(15);

// While it exists, each event wakes `woken`.
class Watcher {
 public:
  explicit Watcher(Service& service) : woken(service.loop), service_(service) { service_.watchers.insert(&woken); }
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;
  ~Watcher() { service_.watchers.erase(&woken); }

  io::Signal woken;

 private:
  Service& service_;
};

// Answers with events: `first`, and then what `read` returns, at most `most` bytes at a time (empty: there is nothing
// new). Sends a comment if nothing comes for long. Ends when the client goes or the server drains.
io::Task<void> stream_events(Service& service, Exchange& x, std::string first,
                             std::function<std::string(std::size_t most)> read);

// Sends the events from now on, or from after the one that the header Last-Event-ID (or ?last_event_id=) names.
io::Task<void> show_events(Service& service, Exchange& x);

}  // namespace minerva
