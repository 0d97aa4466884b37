// What an engine prints: its state lines, its log, and the inspector's JSON.
#include <cmath>

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

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Input input(data, size);
  switch (input.steer % 3) {
    case 0:
      read_state_line(input.text);
      read_state_line("cmd_child_to_router:state:" + std::string(input.text));
      break;
    case 1:
      if (const auto metadata = parse_inspection(input.text); metadata) {
        check(metadata->footprint.count() > 0, "a model that takes nothing");
      }
      break;
    default: {
      EngineLog log;
      fuzz::in_pieces(input.text, input.steer / 3, [&](std::string_view line) { log.append(line); });
      check(log.last_words().size() < 4096, "last words without an end");
    }
  }
  return 0;
}
