#include "api/event_log.h"

#include "api/json.h"
#include "api/sse.h"

namespace minerva::api {

void EventLog::append(std::string_view name, std::string_view data) { keep(sse_event(last_id_ + 1, name, data)); }

void EventLog::append_plain(std::string_view data) { keep(sse_data(data)); }

void EventLog::keep(std::string event) {
  ++last_id_;
  events_.push_back(std::move(event));
  bytes_ += events_.back().size();
  while (events_.size() > kMostEvents || (bytes_ > kMostBytes && events_.size() > 1)) {
    bytes_ -= events_.front().size();
    events_.pop_front();
  }
}

std::string EventLog::read(std::uint64_t& cursor, std::size_t most) const {
  std::string text;
  const std::uint64_t first = first_id();
  if (lost(cursor)) {
    // The gap has the id of the event before the first one: a client that loses the connection now comes back to the
    // first.
    text = sse_event(first - 1, "gap", dump(Json{{"last_event_id", cursor}, {"resumes_at", first}}));
    cursor = first - 1;
  }
  while (cursor < last_id_) {
    const std::string& event = events_[cursor + 1 - first];
    if (!text.empty() && text.size() + event.size() > most) break;
    text += event;
    ++cursor;
  }
  return text;
}

}  // namespace minerva::api
