// AnswerTranslation: turns an engine's answer into the answer of another API, piece by piece.
//
// An implementation is pure and lives in the folder of its API (src/ollama/). Threading: one thread per translation. A
// translation knows no sockets, leases or models: the proxy relays what the translation returns.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "minerva/base/result.h"

namespace minerva::api {

class AnswerTranslation {
 public:
  virtual ~AnswerTranslation() = default;
  AnswerTranslation() = default;
  AnswerTranslation(const AnswerTranslation&) = delete;
  AnswerTranslation& operator=(const AnswerTranslation&) = delete;

  // Content-Type of the translated answer.
  virtual std::string_view content_type() const = 0;
  // The next piece of the engine's 2xx body. Returns what can go out now; it may be empty.
  // Errors: kEngineCrashed when the engine's answer is not what the translation understands.
  virtual Result<std::string> take(std::string_view piece) = 0;
  // The engine's body has ended. Returns the rest of the translated answer. Errors: as take().
  virtual Result<std::string> finish() = 0;
  // The engine refused the request with `status` and `answer`. Returns another body to send instead, for example a
  // shorter one; nothing if there is none. The proxy repeats this for each refusal, so each body has to be smaller than
  // the one before.
  virtual std::optional<std::string> smaller_body(int /*status*/, std::string_view /*answer*/) { return std::nullopt; }
};

}  // namespace minerva::api
