// What an engine's agent says to the daemon on the socket that is its stdin, a line of JSON each (the protocol is in
// engine/src/lifeline.h):
//   {"protocol":1,"can_park":false,"why_not":"..."}                                           at first
//   {"parked":true,"written_bytes":N,"image_bytes":N,"residue_bytes":N,                       to a park, wake or drop
//    "cached_bytes":N,"missing_bytes":N,"dropped_bytes":N}
//   {"parked":false,"refused":"...","busy":B,"image_wanted_bytes":N,"written_bytes":N,"image_bytes":N}
//   {"measured":{"footprint_bytes":N}}                                                        to a measure
//
// Pure. The lines come from a process that reads untrusted files: anything malformed is no answer. What is not known
// here is passed over, so that a newer engine may say more.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "minerva/base/bytes.h"

namespace minerva {

struct AgentHello {
  bool is_ours = false;  // the protocol: otherwise nothing can be asked
  std::string why_not;   // it cannot be parked; empty: it can
};
struct AgentParking {
  bool parked = false;   // now
  std::string refused;   // why a park was; empty: it was not
  bool busy = false;     // it was at work: asked again, it may be done
  Bytes image_wanted{};  // how large the image would have been, if that is why; 0 otherwise
  Bytes written{};       // of the image, now
  Bytes image{};         // on disk
  Bytes residue{};       // parked: what the process holds of its own
  Bytes cached{};        // park, wake: in the page cache, of what the first token after a wake needs
  Bytes missing{};       // not in the page cache, of the same
  Bytes dropped{};       // drop: given back
};
struct AgentMeasurement {
  std::optional<Bytes> footprint;  // nothing: it could not tell
};
using AgentAnswer = std::variant<AgentHello, AgentParking, AgentMeasurement>;

// Nothing for every other line. Texts are cut to a few hundred bytes.
std::optional<AgentAnswer> parse_agent_answer(std::string_view line);

}  // namespace minerva
