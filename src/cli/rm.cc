// minerva rm: removes a model from the disk.
#include <fmt/format.h>

#include <cstdio>
#include <memory>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"
#include "minerva/base/bytes.h"

namespace minerva::cli {
namespace {

struct RemoveFlags {
  std::string id;
  bool yes = false;
  bool dry_run = false;
  bool force = false;
};

HttpCall remove_call(const RemoveFlags& flags, bool dry_run) {
  std::string path = model_path(flags.id, "files");
  if (dry_run) {
    path += "?dry_run=true";
  } else if (flags.force) {
    path += "?force=true";
  }
  return {"DELETE", std::move(path), {}, {}};
}

std::string freed(const nlohmann::json& answer) {
  return format_bytes(Bytes(static_cast<std::uint64_t>(number_of(answer, "freed_bytes"))));
}

void print_stays(std::FILE* to, const nlohmann::json& answer) {
  for (const nlohmann::json& sentence : list_of(answer, "stays")) {
    if (sentence.is_string()) fmt::print(to, "{}\n", printable(sentence.get<std::string>()));
  }
}

void print_plan(std::FILE* to, const nlohmann::json& answer) {
  for (const nlohmann::json& file : list_of(answer, "files")) {
    if (file.is_string()) fmt::print(to, "  {}\n", printable(file.get<std::string>()));
  }
  print_stays(to, answer);
}

// Asks the user. Errors: there is nobody to ask, or the user said no.
Result<void> ask(HttpClient& client, const RemoveFlags& flags) {
  if (!stdin_is_terminal()) {
    return fail(
        ErrorCode::kInvalidArgument,
        "nobody can be asked, as this is no terminal: add --yes to remove it, or --dry-run to see what would go");
  }
  const Result<std::string> answer = client.call(remove_call(flags, /*dry_run=*/true));
  if (!answer) return fail(answer.error());
  const Result<nlohmann::json> plan = parse_answer(*answer);
  if (!plan) return fail(plan.error());
  print_plan(stderr, *plan);
  fmt::print(stderr, "Remove {}, which frees {}? [y/N] ", printable(text_of(*plan, "id")), freed(*plan));
  std::fflush(stderr);
  const int typed = std::getchar();
  if (typed == 'y' || typed == 'Y') return {};
  return fail(ErrorCode::kCancelled, "nothing was removed");
}

Result<void> remove_model(HttpClient& client, const Session& session, const RemoveFlags& flags) {
  if (flags.dry_run) {
    return show(session, client.call(remove_call(flags, /*dry_run=*/true)), [](const nlohmann::json& answer) {
      print_plan(stdout, answer);
      fmt::print("That would free {}.\n", freed(answer));
    });
  }
  if (!flags.yes) {
    if (const Result<void> wanted = ask(client, flags); !wanted) return wanted;
  }
  return show(session, client.call(remove_call(flags, /*dry_run=*/false)), [](const nlohmann::json& answer) {
    fmt::print("{} is removed: {} are free.\n", printable(text_of(answer, "id")), freed(answer));
    print_stays(stdout, answer);
  });
}

}  // namespace

void add_rm(CLI::App& app, Session& session) {
  auto flags = std::make_shared<RemoveFlags>();
  CLI::App* command =
      add_command(app, session, "rm", "Remove a model's files from the server's disk, after asking",
                  [flags](HttpClient& client, Session& current) { return remove_model(client, current, *flags); });
  add_model_argument(*command, flags->id);
  command->add_flag("--yes", flags->yes, "Do not ask");
  command->add_flag("--dry-run", flags->dry_run, "Only show what would go");
  command->add_flag("--force", flags->force, "Also if it is pinned or in use: its running requests are cancelled");
}

}  // namespace minerva::cli
