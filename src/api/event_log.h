// EventLog: the latest events of GET /v1/events, numbered. Any number of readers read it, each from its own place.
//
// Bounded: a reader that is too slow, or was away for too long, learns that it lost some events, and costs no memory.
// Pure. Threading: one thread. It does not know what the events are about, nor who reads.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace minerva::api {

class EventLog {
 public:
  static constexpr std::size_t kMostEvents = 1000;
  static constexpr std::size_t kMostBytes = 1 << 20;

  // Numbers begin after `last_id`. That should be beyond all numbers of an earlier life of the process, so that a
  // reader that comes back after a restart learns what it lost.
  explicit EventLog(std::uint64_t last_id) : last_id_(last_id) {}

  // `data`: JSON on one line.
  void append(std::string_view name, std::string_view data);
  // The same for clients that want neither names nor ids.
  void append_plain(std::string_view data);
  // Whether events after the event `cursor` are no longer kept, or `cursor` is no number of this log.
  bool lost(std::uint64_t cursor) const { return cursor + 1 < first_id() || cursor > last_id_; }
  // The number of the newest event, or what the constructor got.
  std::uint64_t last_id() const { return last_id_; }

  // The events after the event `cursor`, the oldest first, framed as server-sent events: as many as fit into `most`
  // bytes, but at least one; empty if there are none. Moves `cursor` on. If lost(cursor), an event `gap` comes first.
  // It says that the reader saw {"last_event_id"} and goes on with {"resumes_at"}: the events between are lost.
  std::string read(std::uint64_t& cursor, std::size_t most) const;

 private:
  std::uint64_t first_id() const { return last_id_ - events_.size() + 1; }
  void keep(std::string event);

  std::deque<std::string> events_;  // framed; the newest has last_id_, and there are no holes
  std::size_t bytes_ = 0;
  std::uint64_t last_id_;
};

}  // namespace minerva::api
