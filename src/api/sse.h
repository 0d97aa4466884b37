// Server-sent events: how they are framed. Plain functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "minerva/base/error.h"

namespace minerva::api {

// A comment, ": loading 42%", which clients skip and which keeps the connection alive. No blank line follows, since
// some clients take it for the end of an event without data (docs/adr/0021-heartbeats.md). Line ends in `text` become
// spaces.
std::string sse_comment(std::string_view text);

// Removes the blank lines behind the comments of a stream that another server writes. It looks only at the beginning of
// a piece, since a server sends such a comment when it has nothing else to send.
class SseComments {
 public:
  // The next piece without these blank lines; nothing if the piece can stay as it is.
  std::optional<std::string> without_blank_lines(std::string_view piece);

 private:
  bool at_event_ = true;  // the last piece ended with an event, or this is the first piece
};

// One event whose data is `data`; each of its lines becomes a data line.
std::string sse_data(std::string_view data);

// The same with an id and a name. A client that comes back says the id of the last event it saw.
std::string sse_event(std::uint64_t id, std::string_view name, std::string_view data);

// An error that comes after the status was sent: `data: {"error":{...}}`.
std::string sse_error(const Error& error);

}  // namespace minerva::api
