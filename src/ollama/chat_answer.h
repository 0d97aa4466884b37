// ChatAnswer: turns the answer of llama.cpp's server to a chat or a prompt into Ollama's: one object, or one line for
// each piece.
//
// It reads both shapes of the engine: OpenAI's (/v1/chat/completions) and llama.cpp's own (/completion, /infill).
// Pure, except for the clock, which is handed in. Memory: the event that is not complete yet, or the whole answer if it
// is no stream; both are bounded.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/answer_translation.h"
#include "ollama/answer.h"
#include "ollama/chat.h"

namespace minerva::ollama {

class ChatAnswer final : public api::AnswerTranslation {
 public:
  static constexpr std::size_t kMaxEvent = std::size_t{16} << 20;
  static constexpr std::size_t kMaxAnswer = std::size_t{64} << 20;
  static constexpr std::size_t kMaxToolCalls = 128;
  static constexpr unsigned kMaxTries = 16;  // how often it tries again with fewer turns

  // `shortened`: the engine's body, of which turns may be left out; empty if no turn may be.
  ChatAnswer(Verb verb, bool stream, Answer answer, std::string shortened)
      : verb_(verb), stream_(stream), answer_(std::move(answer)), body_(std::move(shortened)) {}

  std::string_view content_type() const override { return stream_ ? "application/x-ndjson" : "application/json"; }
  Result<std::string> take(std::string_view piece) override;
  Result<std::string> finish() override;
  std::optional<std::string> smaller_body(int status, std::string_view answer) override;

 private:
  // Takes one line of a stream. Errors: as take().
  Result<std::string> take_line(std::string_view line);
  // Takes an event, or the whole answer. Returns what the client gets of it. Errors: those of the engine.
  Result<std::string> take_event(const api::Json& event);
  void take_tool_calls(const api::Json& calls);
  std::string part(std::string_view text, std::string_view thinking, const api::Json* tool_calls) const;

  Verb verb_;
  bool stream_;
  Answer answer_;
  std::string body_;
  unsigned tries_ = 0;
  std::string pending_;
  std::string text_;      // collected if the answer is no stream
  std::string thinking_;  // likewise
  api::Json tool_calls_ = api::Json::array();
  std::size_t tool_bytes_ = 0;
  std::string reason_;
  bool ended_ = false;
  Work work_;
};

}  // namespace minerva::ollama
