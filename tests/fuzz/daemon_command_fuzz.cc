// The lines that an engine gets from its daemon.
#include "daemon_command.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy, so that the sanitizer sees a read past the end.
  const std::string line(reinterpret_cast<const char*>(data), size);
  const auto command = engine::parse_daemon_command(line);
  if (!command) return 0;
  const bool says_number = command->kind != engine::DaemonCommand::Kind::kWake;
  check(says_number || command->number == 0, "a number nobody said");
  const char* const words[] = {"sharers", "park", "drop", "wake", "measure", "save"};
  std::string again = words[static_cast<int>(command->kind)];
  if (command->kind != engine::DaemonCommand::Kind::kSharers) again += " " + std::to_string(command->id);
  if (says_number) again += " " + std::to_string(command->number);
  const auto same = engine::parse_daemon_command(again);
  check(same && same->kind == command->kind && same->id == command->id && same->number == command->number,
        "a command that means something else when it is said again");
  return 0;
}
