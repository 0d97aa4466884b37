// Server-sent events: how they are framed. Plain functions; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "minerva/base/error.h"

namespace minerva::api {

// ": loading 42%" and no blank line, which some clients take for the end of an event without data
// (docs/adr/0021-heartbeats.md): clients skip it, connections stay alive. Line ends in `text` become spaces.
std::string sse_comment(std::string_view text);

// Takes the blank lines from behind the comments of a stream that somebody else writes. It looks where a piece begins:
// that is where a comment is that was sent because there was nothing else.
class SseComments {
 public:
  // The next piece without them; nothing if it can stay as it is.
  std::optional<std::string> without_blank_lines(std::string_view piece);

 private:
  bool at_event_ = true;  // the piece before has ended with an event, or there was none
};

// One event whose data is `data`; each of its lines becomes a data line.
std::string sse_data(std::string_view data);

// The same with an id, by which a client that comes back says what it saw last, and a name.
std::string sse_event(std::uint64_t id, std::string_view name, std::string_view data);

// An error that comes when the status was sent already: `data: {"error":{...}}`.
std::string sse_error(const Error& error);

}  // namespace minerva::api
