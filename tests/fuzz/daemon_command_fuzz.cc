// The lines that an engine gets from its daemon.
#include "daemon_command.h"
#include "fuzz/input.h"

using namespace minerva;  // NOLINT(google-build-using-namespace)

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // A copy, so that the sanitizer sees a read past the end.
  const std::string line(reinterpret_cast<const char*>(data), size);
  const auto command = engine::parse_daemon_command(line);
  if (!command) return 0;
  using Kind = engine::DaemonCommand::Kind;
  const bool is_forget = command->kind == Kind::kForget;
  const bool says_number = command->kind != Kind::kWake && command->kind != Kind::kRoom && !is_forget;
  check(says_number || command->number == 0, "a number nobody said");
  const char* const words[] = {"sharers", "park", "drop", "wake", "measure", "room", "save", "forget"};
  std::string again = words[static_cast<int>(command->kind)];
  if (command->kind != Kind::kSharers && !is_forget) again += " " + std::to_string(command->id);
  if (says_number) again += " " + std::to_string(command->number);
  if (is_forget) again += " " + command->tenant;
  const auto same = engine::parse_daemon_command(again);
  check(same && same->kind == command->kind && same->id == command->id && same->number == command->number &&
            same->tenant == command->tenant,
        "a command that means something else when it is said again");
  return 0;
}
