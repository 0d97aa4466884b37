// minerva conversations: what is kept of conversations on the server's disk, and its removal.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <ctime>
#include <memory>

#include "api/query.h"
#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "minerva/base/bytes.h"

namespace minerva::cli {
namespace {

struct ConversationFlags {
  std::string action = "list";
  std::string model;
  bool own = false;
};

std::string in_bytes(const nlohmann::json& object, const char* field) {
  return format_bytes(Bytes(static_cast<std::uint64_t>(number_of(object, field))));
}

void print_conversations(const nlohmann::json& answer) {
  for (const nlohmann::json& row : list_of(answer, "data")) {
    const auto used = static_cast<std::time_t>(number_of(row, "last_used"));
    std::tm local{};
    ::localtime_r(&used, &local);
    fmt::print("{:<40} {:>10}  {:>6.0f} files  used {:%Y-%m-%d %H:%M}\n", printable(text_of(row, "model")),
               in_bytes(row, "bytes"), number_of(row, "segments"), local);
  }
  if (!flag_of(answer, "enabled")) {
    fmt::print("no conversations are kept: conversations.enabled is false in the server's config\n");
  } else if (answer.contains("budget_bytes")) {
    fmt::print("{} of at most {}; {:.0f} tokens were restored since the start, which saved {:.0f} s\n",
               in_bytes(answer, "bytes"), in_bytes(answer, "budget_bytes"), number_of(answer, "restored_tokens"),
               number_of(answer, "saved_seconds"));
    if (answer.contains("failure")) {
      fmt::print("nothing is saved at present: {}\n", printable(text_of(answer, "failure")));
    }
  } else {
    fmt::print("{} in all\n", in_bytes(answer, "bytes"));
  }
}

Result<void> conversations(HttpClient& client, Session& session, const ConversationFlags& flags) {
  std::string path = fmt::format("/v1/conversations?own={}", flags.own);
  if (!flags.model.empty()) path += "&model=" + api::percent_encode(flags.model);
  if (flags.action == "list") return show(session, client.call({"GET", path, {}, {}}), print_conversations);
  return show(session, client.call({"DELETE", path, {}, {}}),
              [](const nlohmann::json& answer) { fmt::print("{}\n", printable(text_of(answer, "message"))); });
}

}  // namespace

void add_conversations(CLI::App& app, Session& session) {
  auto flags = std::make_shared<ConversationFlags>();
  CLI::App* command =
      add_command(app, session, "conversations", "What is kept of conversations on disk; `clear` removes it",
                  [flags](HttpClient& client, Session& current) { return conversations(client, current, *flags); });
  command->add_option("ACTION", flags->action, "list (if nothing is said) or clear")
      ->type_name("")
      ->check(CLI::IsMember({"list", "clear"}));
  command->add_option("--model", flags->model, "Of this model only")->type_name("ID");
  command->add_flag("--own", flags->own,
                    "Of this API key only, if the key is one of admin_keys; others have no choice");
}

}  // namespace minerva::cli
