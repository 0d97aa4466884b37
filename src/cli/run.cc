// minerva run: one question, and the answer on stdout; can stand in a pipe.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <memory>

#include "cli/command.h"
#include "cli/completion.h"
#include "cli/input.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

constexpr std::chrono::seconds kSilence(2);

struct RunFlags {
  CompletionOptions completion;
  std::string prompt;  // empty or "-": from stdin
};

// The prompt of the command line, and what was piped in.
Result<std::string> whole_prompt(const std::string& given) {
  const bool from_stdin = given.empty() || given == "-";
  if (!from_stdin && !stdin_is_piped()) return given;
  if (given.empty() && stdin_is_terminal()) {
    return fail(ErrorCode::kInvalidArgument, "no prompt: give one, or pipe text in");
  }
  // Scripts and CI jobs may hand down an open pipe that nobody writes to. The program waits for it, and says so.
  if (!from_stdin && !stdin_has_news(kSilence)) {
    fmt::print(stderr, "minerva: reading more of the prompt from stdin; if there is none, add </dev/null\n");
  }
  Result<std::string> piped = read_all(STDIN_FILENO);
  if (!piped) return fail(piped.error());
  while (piped->ends_with('\n') || piped->ends_with('\r')) piped->pop_back();
  if (!from_stdin && piped->empty()) return given;
  if (!from_stdin) return given + "\n\n" + *piped;
  if (piped->empty()) return fail(ErrorCode::kInvalidArgument, "the prompt is empty");
  return piped;
}

Result<void> run_once(HttpClient& client, Session& session, const RunFlags& flags) {
  const Result<std::string> prompt = whole_prompt(flags.prompt);
  if (!prompt) return fail(prompt.error());
  nlohmann::json messages = nlohmann::json::array();
  messages.push_back({{"role", "user"}, {"content", *prompt}});
  const Result<Answer> answer = complete(client, flags.completion, messages, session.json);
  if (!answer) return fail(answer.error());
  return {};
}

}  // namespace

void add_run(CLI::App& app, Session& session) {
  auto flags = std::make_shared<RunFlags>();
  CLI::App* command =
      add_command(app, session, "run", "Ask a model one question",
                  [flags](HttpClient& client, Session& current) { return run_once(client, current, *flags); });
  add_completion_options(*command, flags->completion);
  command->add_option("PROMPT", flags->prompt, "The question; - or nothing: from stdin. Piped text is added to it")
      ->type_name("");
}

}  // namespace minerva::cli
