// minerva explain: why a model is in memory, or is not.
#include <fmt/format.h>

#include <memory>

#include "api/query.h"
#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

struct ExplainFlags {
  std::string id;
  unsigned limit = 20;
};

std::string time_of_day(const nlohmann::json& decision) {
  const std::string time = text_of(decision, "time");  // 2026-01-31T12:00:00.000Z
  constexpr std::size_t kTime = 11;
  constexpr std::size_t kLength = 8;
  return time.size() > kTime + kLength ? time.substr(kTime, kLength) : time;
}

void print_decision(const nlohmann::json& decision, const std::string& id) {
  const std::string model = text_of(decision, "model");
  const double times = number_of(decision, "times");
  fmt::print("{}  {:<9}  {}{}{}\n", time_of_day(decision), printable(text_of(decision, "kind")),
             model == id ? "" : printable(model) + ": ", printable(text_of(decision, "reason")),
             times > 1 ? fmt::format(" ({:.0f} times)", times) : "");
  for (const nlohmann::json& candidate : list_of(decision, "candidates")) {
    if (flag_of(candidate, "chosen")) continue;
    const std::string standing = text_of(candidate, "standing");
    fmt::print("{:21}{} stays{}\n", "", printable(text_of(candidate, "model")),
               standing.empty() ? "" : ": " + printable(standing));
  }
}

Result<void> explain(HttpClient& client, Session& session, const ExplainFlags& flags) {
  const std::string path = fmt::format("/v1/decisions?model={}&limit={}", api::percent_encode(flags.id), flags.limit);
  if (session.json) return show(session, client.call({"GET", path, {}, {}}), [](const auto&) {});
  const Result<std::string> described = client.call({"GET", model_path(flags.id), {}, {}});
  if (!described) return fail(described.error());
  const Result<nlohmann::json> model = parse_answer(*described);
  if (!model) return fail(model.error());
  const std::string model_of_preset = text_of(*model, "preset_of");
  const std::string id = model_of_preset.empty() ? text_of(*model, "id") : model_of_preset;
  return show(session, client.call({"GET", path, {}, {}}), [&](const nlohmann::json& answer) {
    const std::string failure = text_of(object_of(*model, "last_error"), "message");
    fmt::print("{} is {}{}\n", printable(id), printable(text_of(*model, "state")),
               failure.empty() ? "." : fmt::format(". Its last failure: {}", printable(failure)));
    const nlohmann::json& decisions = list_of(answer, "data");
    if (decisions.empty()) fmt::print("Nothing was decided about it since the server started.\n");
    for (auto decision = decisions.rbegin(); decision != decisions.rend(); ++decision) print_decision(*decision, id);
  });
}

}  // namespace

void add_explain(CLI::App& app, Session& session) {
  auto flags = std::make_shared<ExplainFlags>();
  CLI::App* command = add_command(
      app, session, "explain", "Say why a model is where it is: what was decided about it, and why (times are UTC)",
      [flags](HttpClient& client, Session& current) { return explain(client, current, *flags); });
  add_model_argument(*command, flags->id);
  command->add_option("--limit", flags->limit, "At most so many decisions, the latest")->check(CLI::Range(1, 1000));
}

}  // namespace minerva::cli
