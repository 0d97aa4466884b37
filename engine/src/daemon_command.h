// The lines that the daemon says to an engine: protocol/agent.h and conversations.h have the grammar. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace minerva::engine {

struct DaemonCommand {
    enum class Kind { kSharers, kPark, kDrop, kWake, kMeasure, kRoom, kSave, kForget };
    Kind kind;
    std::uint64_t id = 0;      // of all commands but "sharers" and "forget"
    std::uint64_t number = 0;  // of all commands but "wake", "room" and "forget"
    std::string tenant;        // of "forget"; may be kEverybody
};

// Nothing if the line (without its end) is none of the commands above.
std::optional<DaemonCommand> parse_daemon_command(std::string_view line);

}  // namespace minerva::engine
