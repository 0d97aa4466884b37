// GET /v1/events: what happens, as it happens, as server-sent events.
//
// A reader is a cursor in the feed's log and nothing more: one that is slow, or comes back late, costs no memory and is
// told what it lost. How many there are is bounded by limits.max_connections.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// Where nothing happens for so long, a reader gets a comment.
constexpr auto kFeedHeartbeat = std::chrono::seconds(15);

// Woken by each event while it lives.
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

// Answers with events: `first`, then what `read` returns of at most so many bytes (empty: there is nothing new), and a
// comment where nothing comes for long. Until the client goes or the server drains.
io::Task<void> stream_events(Service& service, Exchange& x, std::string first,
                             std::function<std::string(std::size_t most)> read);

// From now on, or after the event that the header Last-Event-ID (or ?last_event_id=) names.
io::Task<void> show_events(Service& service, Exchange& x);

}  // namespace minerva
