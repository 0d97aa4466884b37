// minerva chat: a conversation, line by line.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>

#include "cli/command.h"
#include "cli/completion.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

constexpr std::string_view kHelp =
    "/reset  forget the conversation\n"
    "/exit   end (so does Ctrl-D)\n"
    "/help   this\n"
    "Ctrl-C  stop the answer\n";

class Conversation {
 public:
  Conversation(HttpClient& client, const CompletionOptions& options, bool json)
      : client_(client), options_(options), json_(json) {}

  // Sends `text` and shows the answer. A turn that failed is forgotten, so that the user can try again.
  Result<void> say(const std::string& text) {
    messages_.push_back({{"role", "user"}, {"content", text}});
    InterruptGuard::interrupted = false;
    const Result<Answer> answer = complete(client_, options_, messages_, json_, &InterruptGuard::interrupted);
    if (!answer || (answer->cancelled && answer->text.empty())) {
      messages_.erase(messages_.size() - 1);
      if (!answer) return fail(answer.error());
      return {};
    }
    messages_.push_back({{"role", "assistant"}, {"content", answer->text}});
    return {};
  }
  void reset() { messages_ = nlohmann::json::array(); }

 private:
  HttpClient& client_;
  const CompletionOptions& options_;
  bool json_;
  nlohmann::json messages_ = nlohmann::json::array();
};

Result<void> chat(HttpClient& client, Session& session, const CompletionOptions& options) {
  // An unknown model is reported before the first question.
  const Result<std::string> model = client.call({"GET", model_path(options.model), {}, {}});
  if (!model) return fail(model.error());
  const bool person = stdin_is_terminal();
  const auto note = [&](std::string_view text) {
    if (person) fmt::print(stderr, "{}", text);
  };
  if (person) fmt::print(stderr, "Talking to {}. /help shows what there is besides.\n", options.model);
  const InterruptGuard guard;
  LineReader input(STDIN_FILENO);
  Conversation conversation(client, options, session.json);
  std::string line;
  for (;;) {
    note("> ");
    const LineReader::End end = input.read(line);
    if (end == LineReader::End::kEof) {
      note("\n");
      return {};
    }
    if (end == LineReader::End::kInterrupted) {
      // Without a person there is no prompt to return to.
      if (!person) return fail(ErrorCode::kCancelled, "interrupted");
      note("\n(Ctrl-D ends)\n");
      continue;
    }
    if (line.find_first_not_of(" \t") == std::string::npos) continue;
    if (line == "/exit") return {};
    if (line == "/reset") {
      conversation.reset();
      note("The conversation is forgotten.\n");
    } else if (line == "/help") {
      note(kHelp);
    } else if (const Result<void> said = conversation.say(line); !said) {
      if (!person) return said;
      report(said.error());
    }
  }
}

}  // namespace

void add_chat(CLI::App& app, Session& session) {
  auto options = std::make_shared<CompletionOptions>();
  CLI::App* command =
      add_command(app, session, "chat", "Talk to a model",
                  [options](HttpClient& client, Session& current) { return chat(client, current, *options); });
  add_completion_options(*command, *options);
}

}  // namespace minerva::cli
