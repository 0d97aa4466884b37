// Parses what an engine's agent writes to the daemon, on the socket that is the engine's stdin: one line of JSON each
// (protocol/agent.h, protocol/conversations.h).
//
// Pure. The lines come from a process that reads untrusted files: a malformed line is no answer. Unknown members are
// skipped, so that a newer engine may say more.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "engine/engine.h"
#include "minerva/base/bytes.h"
#include "protocol/agent.h"

namespace minerva {

struct AgentHello {
  bool is_ours = false;  // it speaks this protocol; otherwise nothing can be asked
  std::string why_not;   // why it cannot be parked; empty: it can
};
struct AgentParking {
  std::uint64_t id = 0;
  protocol::ParkReport report;
};
struct AgentMeasurement {
  std::uint64_t id = 0;
  std::optional<Measurement> measured;  // nothing: the engine could not find out
};
struct AgentRoom {
  std::uint64_t id = 0;
  DeviceMemories devices;
};
struct AgentSaving {
  std::uint64_t id = 0;
  SaveAnswer answer;
};
using AgentAnswer = std::variant<AgentHello, AgentParking, AgentMeasurement, AgentRoom, AgentSaving, ConversationNote>;

// Nothing for every other line. Texts are cut to a few hundred bytes.
std::optional<AgentAnswer> parse_agent_answer(std::string_view line);

}  // namespace minerva
