// What the daemon says to an engine, a line each.
//
//   sharers N          N engines compute at present (thread_share.h)
//   park MAX           park; the image may take MAX bytes
//   drop BYTES         if it is parked: give back so much of the page cache that its weights and its image take
//   wake
//   measure [BYTES]    say what it holds at most; conversations outside of slots may come to BYTES (footprint.h)
// Words are separated by one space, numbers are decimal. Other lines are ignored, so that a newer daemon does no harm.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace minerva::engine {

struct DaemonCommand {
    enum class Kind { kSharers, kPark, kDrop, kWake, kMeasure };
    Kind kind;
    std::uint64_t number = 0;  // of all commands but "wake"
};

// Nothing if the line (without its end) is none of the commands above.
std::optional<DaemonCommand> parse_daemon_command(std::string_view line);

}  // namespace minerva::engine
