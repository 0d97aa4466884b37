// The lines that an engine prints: its state lines, its log, the inspector's JSON, and its agent's answers.
#include <cmath>

#include "engine/agent_answer.h"
#include "engine/engine.h"
#include "engine/inspection.h"
#include "engine/state_line.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

namespace {

void read_state_line(std::string_view line) {
  const auto state = parse_state_line(line);
  if (!state || !state->fraction) return;
  check(std::isfinite(*state->fraction) && *state->fraction >= 0 && *state->fraction <= 1, "progress beyond its range");
}

void read_agent_answer(std::string_view line) {
  const auto answer = parse_agent_answer(line);
  if (!answer) return;
  constexpr std::size_t kMost = 400;
  if (const auto* const hello = std::get_if<AgentHello>(&*answer)) {
    check(hello->why_not.size() <= kMost, "a reason without an end");
    check(hello->is_ours || !hello->why_not.empty(), "parked by a protocol nobody knows");
  } else if (const auto* const parking = std::get_if<AgentParking>(&*answer)) {
    const protocol::ParkReport& report = parking->report;
    check(report.refused.size() <= kMost, "a refusal without an end");
    check(!report.parked || report.refused.empty(), "both parked and refused");
    check(!report.parked || report.residue_bytes > 0, "a parked process that holds nothing");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  switch (input.steer % 4) {
    case 0:
      read_state_line(input.text);
      read_state_line("cmd_child_to_router:state:" + std::string(input.text));
      break;
    case 1:
      if (const auto metadata = parse_inspection(input.text); metadata) {
        check(metadata->predicted.count() > 0, "a model that takes nothing");
      }
      break;
    case 2:
      read_agent_answer(input.text);
      break;
    default: {
      EngineLog log;
      fuzz::in_pieces(input.text, input.steer / 4, [&](std::string_view line) { log.append(line); });
      check(log.last_words().size() < 4096, "last words without an end");
    }
  }
  return 0;
}
