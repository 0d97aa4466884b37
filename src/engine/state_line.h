// The lines by which llama.cpp's server reports to its parent how far it is, when it runs as a child (engine v0.5.0):
//   cmd_child_to_router:state:{"state":"loading","payload":{"stages":[...],"current":"text_model","value":0.4}}
//   cmd_child_to_router:state:{"state":"ready","payload":{...}}
//
// Pure. The lines come from a process that reads untrusted files: a malformed line is no state line.
#pragma once

#include <optional>
#include <string_view>

namespace minerva {

struct StateLine {
  enum class State { kLoading, kReady };
  State state = State::kLoading;
  // How far the whole load is, 0 to 1; all stages weigh the same. Unset: it is loading, but does not say how far.
  std::optional<double> fraction;
};

// Nothing for every other line: log output, other states, malformed lines.
std::optional<StateLine> parse_state_line(std::string_view line);

}  // namespace minerva
