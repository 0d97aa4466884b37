// minerva logs: what a model's engine printed.
#include <fmt/format.h>

#include <memory>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

constexpr std::size_t kMaxLine = 1 << 20;

struct LogsFlags {
  std::string id;
  bool follow = false;
  unsigned tail = 200;
};

void print_line(const std::string& line, bool json) {
  if (json) {
    print_json(nlohmann::json{{"line", line}}.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  } else {
    fmt::print("{}\n", stdout_is_terminal() ? printable(line) : line);
  }
}

Result<void> follow(HttpClient& client, const HttpCall& call, bool json) {
  std::string line;
  const Result<void> done = client.stream(call, [&](std::string_view, std::string_view piece) {
    for (const char c : piece) {
      if (c != '\n' && line.size() < kMaxLine) {
        line.push_back(c);
        continue;
      }
      print_line(line, json);
      line.clear();
      if (c != '\n') line.push_back(c);
    }
    // The reader of the pipe may be gone.
    return std::fflush(stdout) == 0;
  });
  if (!line.empty()) print_line(line, json);
  return done;
}

Result<void> logs(HttpClient& client, Session& session, const LogsFlags& flags) {
  HttpCall call{"GET", model_path(flags.id, "logs") + fmt::format("?tail={}", flags.tail), {}, {}};
  if (flags.follow) {
    call.path += "&follow=true";
    return follow(client, call, session.json);
  }
  const Result<std::string> answer = client.call(call);
  if (!answer) return fail(answer.error());
  if (!session.json) {
    fmt::print("{}", stdout_is_terminal() ? printable(*answer) : *answer);
    return {};
  }
  nlohmann::json lines = nlohmann::json::array();
  for (std::size_t at = 0; at < answer->size();) {
    const std::size_t end = std::min(answer->find('\n', at), answer->size());
    lines.push_back(answer->substr(at, end - at));
    at = end + 1;
  }
  print_json(nlohmann::json{{"model_id", flags.id}, {"lines", lines}}.dump(-1, ' ', false,
                                                                           nlohmann::json::error_handler_t::replace));
  return {};
}

}  // namespace

void add_logs(CLI::App& app, Session& session) {
  auto flags = std::make_shared<LogsFlags>();
  CLI::App* command =
      add_command(app, session, "logs", "Show what a model's engine printed",
                  [flags](HttpClient& client, Session& current) { return logs(client, current, *flags); });
  add_model_argument(*command, flags->id);
  command->add_flag("-f,--follow", flags->follow, "Go on with what it prints from now on");
  command->add_option("--tail", flags->tail, "How many lines of the past [200]")->type_name("N");
}

}  // namespace minerva::cli
