// Server-sent events: how they are framed. Plain functions; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "minerva/base/error.h"

namespace minerva::api {

// ": loading 42%" and a blank line: clients skip it, connections stay alive. Line ends in `text` become spaces.
std::string sse_comment(std::string_view text);

// One event whose data is `data`; each of its lines becomes a data line.
std::string sse_data(std::string_view data);

// The same with an id, by which a client that comes back says what it saw last, and a name.
std::string sse_event(std::uint64_t id, std::string_view name, std::string_view data);

// An error that comes when the status was sent already: `data: {"error":{...}}`.
std::string sse_error(const Error& error);

}  // namespace minerva::api
