// EventLog: the latest events of GET /v1/events, numbered, for any number of readers that are each somewhere in it.
//
// Bounded: a reader that is too slow, or was away for too long, is told that it lost some, and costs no memory.
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

  // Numbers begin after `last_id`. It should be beyond all that an earlier life of the process gave away, so that a
  // reader that comes back after a restart is told of what it lost.
  explicit EventLog(std::uint64_t last_id) : last_id_(last_id) {}

  // `data`: JSON on one line.
  void append(std::string_view name, std::string_view data);
  // The same for clients that want neither names nor ids.
  void append_plain(std::string_view data);
  // Whether some after the event `cursor` are not kept any more, or it is none of this log's.
  bool lost(std::uint64_t cursor) const { return cursor + 1 < first_id() || cursor > last_id_; }
  // Of the newest event, or what the constructor was given.
  std::uint64_t last_id() const { return last_id_; }

  // What came after the event `cursor`, framed as server-sent events and oldest first: as many as there are within
  // `most` bytes, and one at least; empty if there are none. Moves `cursor` on. Where some after it are not kept any
  // more, or it is none of this log's, an event `gap` says so first: it saw {"last_event_id"} and goes on with
  // {"resumes_at"}, and what was in between is lost.
  std::string read(std::uint64_t& cursor, std::size_t most) const;

 private:
  std::uint64_t first_id() const { return last_id_ - events_.size() + 1; }
  void keep(std::string event);

  std::deque<std::string> events_;  // framed; the newest has last_id_, and there are no holes
  std::size_t bytes_ = 0;
  std::uint64_t last_id_;
};

}  // namespace minerva::api
