// One answer of a model, for `chat` and `run`: asks /v1/chat/completions, or /v1/completions if the model has no chat
// template, and shows the text as it comes.
//
// Threading: one thread.
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "cli/http_client.h"
#include "cli/sse_parser.h"

namespace minerva::cli {

struct CompletionOptions {
  std::string model;
  std::string system;  // empty: none
  std::optional<unsigned> max_tokens;
  std::optional<double> temperature;
};

// Adds --system, --max-tokens and --temperature.
void add_completion_options(CLI::App& command, CompletionOptions& options);

// Parses the events of a streamed answer. Separate from the connection, so that it can be tested.
class CompletionStream {
 public:
  struct Handlers {
    std::function<void(std::string_view text)> on_text;
    std::function<void(std::string_view text)> on_reasoning;
    std::function<void(std::string_view comment)> on_comment;
  };
  explicit CompletionStream(Handlers handlers);

  // false: it needs nothing more (see finish()).
  bool feed(std::string_view piece);
  // To be called after the last piece. Errors: why the answer is not complete.
  Result<void> finish() const;
  const std::string& text() const { return text_; }
  // "stop", "length", ...; empty if the server did not say.
  const std::string& finish_reason() const { return finish_reason_; }

 private:
  void event(std::string_view data);

  Handlers handlers_;
  SseParser parser_;
  std::string text_;
  std::string finish_reason_;
  bool done_ = false;
  bool too_large_ = false;
  std::optional<Error> error_;
};

struct Answer {
  std::string text;
  bool cancelled = false;  // `text` is what came before that
};
// Streams the answer to `messages` to stdout, with a line end after it. The progress of a load, and notes, go to stderr
// if that is a terminal. `json`: prints the server's whole answer instead.
// Errors: the server's, or that the answer broke off.
Result<Answer> complete(HttpClient& client, const CompletionOptions& options, const nlohmann::json& messages, bool json,
                        const std::atomic<bool>* cancelled = nullptr);

}  // namespace minerva::cli
