// minerva cache clear: the server forgets what it has counted and learned.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <vector>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

struct CacheFlags {
  std::string action;
  bool stats = false;
  bool history = false;
  bool images = false;
  bool conversations = false;
  bool all = false;
};

constexpr const char* kStats = "The counters of hits, misses, evictions and preloads go back to zero";
constexpr const char* kHistory =
    "Who was used, when and how often, and how long loads and wakes took, is forgotten: the next victims are chosen "
    "without it";
constexpr const char* kImages = "Parked models that nobody uses are stopped, and their images go with them";
constexpr const char* kConversations = "What is kept of conversations on disk is removed, of all models and API keys";
constexpr const char* kAll =
    "All four; and every model is inspected and measured anew at its next load, as on the first day";

// Says what can be cleared. A command without a flag clears nothing: nothing goes by accident, and nothing by half.
void explain() {
  fmt::print(stderr, "minerva: say what to clear; nothing was. No running request is disturbed by any of them.\n");
  for (const auto& [flag, meaning] : {std::pair("--stats", kStats),
                                      {"--history", kHistory},
                                      {"--images", kImages},
                                      {"--conversations", kConversations},
                                      {"--all", kAll}}) {
    fmt::print(stderr, "  {:<15} {}.\n", flag, meaning);
  }
}

Result<void> clear(HttpClient& client, Session& session, const CacheFlags& flags) {
  std::vector<std::string> parts;
  if (flags.stats) parts.emplace_back("stats=true");
  if (flags.history) parts.emplace_back("history=true");
  if (flags.images) parts.emplace_back("images=true");
  if (flags.conversations) parts.emplace_back("conversations=true");
  if (flags.all) parts.emplace_back("all=true");
  if (parts.empty()) {
    explain();
    session.exit_code = kUsageError;
    return {};
  }
  const std::string path = fmt::format("/v1/cache/clear?{}", fmt::join(parts, "&"));
  return show(session, client.call({"POST", path, "{}", {}}),
              [](const nlohmann::json& answer) { fmt::print("{}\n", printable(text_of(answer, "message"))); });
}

}  // namespace

void add_cache(CLI::App& app, Session& session) {
  auto flags = std::make_shared<CacheFlags>();
  CLI::App* command = add_command(
      app, session, "cache", "Forget what the server counted and learned: `minerva cache clear`, and what of it",
      [flags](HttpClient& client, Session& current) { return clear(client, current, *flags); });
  command->add_option("ACTION", flags->action, "clear, which is all there is")
      ->required()
      ->type_name("")
      ->check(CLI::IsMember({"clear"}));
  command->add_flag("--stats", flags->stats, kStats);
  command->add_flag("--history", flags->history, kHistory);
  command->add_flag("--images", flags->images, kImages);
  command->add_flag("--conversations", flags->conversations, kConversations);
  command->add_flag("--all", flags->all, kAll);
}

}  // namespace minerva::cli
