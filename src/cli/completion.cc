#include "cli/completion.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/answers.h"
#include "cli/command.h"
#include "cli/terminal.h"

namespace minerva::cli {
namespace {

constexpr std::string_view kChatPath = "/v1/chat/completions";
constexpr std::string_view kTextPath = "/v1/completions";

std::string request_body(std::string_view path, const CompletionOptions& options, const nlohmann::json& messages,
                         bool stream) {
  nlohmann::json body = {{"model", options.model}, {"stream", stream}};
  if (path == kTextPath) {
    body["prompt"] = text_of(messages.front(), "content");
  } else {
    body["messages"] = nlohmann::json::array();
    if (!options.system.empty()) body["messages"].push_back({{"role", "system"}, {"content", options.system}});
    for (const nlohmann::json& message : messages) body["messages"].push_back(message);
  }
  if (options.max_tokens) body["max_tokens"] = *options.max_tokens;
  if (options.temperature) body["temperature"] = *options.temperature;
  return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

const nlohmann::json& first_choice(const nlohmann::json& answer) {
  static const nlohmann::json none = nlohmann::json::object();
  const nlohmann::json& choices = list_of(answer, "choices");
  return choices.empty() ? none : choices.front();
}

// The text in a choice of a chat, or of a completion.
std::string said(const nlohmann::json& choice, const char* member) {
  std::string text = text_of(object_of(choice, member), "content");
  return text.empty() ? text_of(choice, "text") : text;
}

// Writes the answer to stdout as it comes. A terminal also gets the model's reasoning, dimmed if it has colours.
class Writer {
 public:
  void text(std::string_view piece) {
    status_.clear();
    if (reasoning_) write(colour_ ? "\033[0m\n" : "\n");
    reasoning_ = false;
    show(piece);
  }
  void reasoning(std::string_view piece) {
    if (!terminal_) return;
    status_.clear();
    if (!reasoning_ && colour_) write("\033[2m");
    reasoning_ = true;
    show(piece);
  }
  void comment(std::string_view comment, const std::string& model) {
    const std::string text = describe_progress(comment, model);
    if (!text.empty() && !started_) status_.show(text);
  }
  // false: nobody reads stdout any more.
  bool writable() const { return std::ferror(stdout) == 0; }
  void end() {
    status_.clear();
    if (reasoning_ && colour_) write("\033[0m");
    if (started_ && !at_line_start_) write("\n");
    std::fflush(stdout);
  }

 private:
  void write(std::string_view piece) { std::fwrite(piece.data(), 1, piece.size(), stdout); }
  void show(std::string_view piece) {
    if (piece.empty()) return;
    started_ = true;
    at_line_start_ = piece.ends_with('\n');
    if (terminal_) {
      write(printable(piece));
    } else {
      write(piece);
    }
    std::fflush(stdout);
  }

  const bool terminal_ = stdout_is_terminal();
  const bool colour_ = stdout_has_colour();
  StatusLine status_;
  bool started_ = false;
  bool reasoning_ = false;
  bool at_line_start_ = false;
};

Result<Answer> complete_as_json(HttpClient& client, const HttpCall& call, const std::atomic<bool>* cancelled) {
  std::string body;
  const Result<void> done = client.stream(
      call,
      [&](std::string_view, std::string_view piece) {
        body += piece;
        return body.size() <= SseParser::kMaxEvent;
      },
      cancelled);
  if (!done && done.error().code == ErrorCode::kCancelled) return Answer{{}, true};
  if (!done) return fail(done.error());
  const Result<nlohmann::json> json = parse_answer(body);
  if (!json) return fail(json.error());
  print_json(body);
  return Answer{said(first_choice(*json), "message"), false};
}

}  // namespace

void add_completion_options(CLI::App& command, CompletionOptions& options) {
  add_model_argument(command, options.model);
  command.add_option("--system", options.system, "What the model is told before the conversation")->type_name("TEXT");
  command.add_option("--max-tokens", options.max_tokens, "Where an answer is cut")->type_name("N");
  command.add_option("--temperature", options.temperature, "0 for the most likely answer")->type_name("X");
}

CompletionStream::CompletionStream(Handlers handlers)
    : handlers_(std::move(handlers)),
      parser_({[this](std::string_view data) { event(data); },
               [this](std::string_view comment) { handlers_.on_comment(comment); }}) {}

bool CompletionStream::feed(std::string_view piece) {
  too_large_ = !parser_.feed(piece);
  return !too_large_ && !error_;
}

void CompletionStream::event(std::string_view data) {
  if (data == "[DONE]") {
    done_ = true;
    return;
  }
  const nlohmann::json json = nlohmann::json::parse(data, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || error_) return;
  if (json.contains("error")) {
    error_ = server_error(500, data);
    return;
  }
  const nlohmann::json& choice = first_choice(json);
  const nlohmann::json& delta = object_of(choice, "delta");
  if (const std::string reasoning = text_of(delta, "reasoning_content"); !reasoning.empty()) {
    handlers_.on_reasoning(reasoning);
  }
  if (const std::string text = said(choice, "delta"); !text.empty()) {
    text_ += text;
    handlers_.on_text(text);
  }
  if (const std::string reason = text_of(choice, "finish_reason"); !reason.empty()) finish_reason_ = reason;
}

Result<void> CompletionStream::finish() const {
  if (error_) return fail(*error_);
  if (too_large_) return fail(ErrorCode::kIo, "the server sent an event that is too large");
  if (!done_ && finish_reason_.empty()) return fail(ErrorCode::kIo, "the answer broke off");
  return {};
}

namespace {

Result<Answer> ask(HttpClient& client, std::string_view path, const CompletionOptions& options,
                   const nlohmann::json& messages, bool json, const std::atomic<bool>* cancelled) {
  const HttpCall call{"POST", std::string(path), request_body(path, options, messages, !json), {}};
  if (json) return complete_as_json(client, call, cancelled);
  Writer writer;
  CompletionStream stream({[&](std::string_view text) { writer.text(text); },
                           [&](std::string_view text) { writer.reasoning(text); },
                           [&](std::string_view comment) { writer.comment(comment, options.model); }});
  const Result<void> done = client.stream(
      call, [&](std::string_view, std::string_view piece) { return stream.feed(piece) && writer.writable(); },
      cancelled);
  writer.end();
  if (!done && done.error().code == ErrorCode::kCancelled) return Answer{stream.text(), true};
  if (!done) return fail(done.error());
  if (!writer.writable()) return fail(ErrorCode::kIo, "the answer cannot be written");
  if (const Result<void> whole = stream.finish(); !whole) return fail(whole.error());
  if (stream.finish_reason() == "length" && stderr_is_terminal()) {
    fmt::print(stderr, "(cut: the limit of tokens is reached)\n");
  }
  return Answer{stream.text(), false};
}

}  // namespace

Result<Answer> complete(HttpClient& client, const CompletionOptions& options, const nlohmann::json& messages, bool json,
                        const std::atomic<bool>* cancelled) {
  Result<Answer> answer = ask(client, kChatPath, options, messages, json, cancelled);
  // A model without a chat template can continue a text, if there is nothing but one text.
  const bool is_text = messages.size() == 1 && options.system.empty();
  if (answer || answer.error().code != ErrorCode::kUnsupported || !is_text) return answer;
  return ask(client, kTextPath, options, messages, json, cancelled);
}

}  // namespace minerva::cli
