// /api/embed and the older /api/embeddings: translates the requests for /v1/embeddings, and its answers back.
//
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/answer_translation.h"
#include "ollama/answer.h"
#include "ollama/chat.h"
#include "ollama/request.h"

namespace minerva::ollama {

enum class EmbedVerb : std::uint8_t {
  kEmbed,      // "input": a text or a list of them
  kEmbedding,  // "prompt": one text; the answer has one vector, without a list
};

// Whether there is nothing to embed: the model is only to be loaded, or to leave.
Result<bool> embeds_nothing(EmbedVerb verb, const Request& request);
std::string empty_embedding(EmbedVerb verb, const Answer& answer);

// Translates a request. A text that is longer than the model takes is cut at its end, unless the request has
// "truncate": false.
// Errors: kInvalidArgument.
Result<EngineRequest> translate(EmbedVerb verb, const Request& request, Answer answer);

class EmbedAnswer final : public api::AnswerTranslation {
 public:
  static constexpr std::size_t kMaxAnswer = std::size_t{256} << 20;
  static constexpr unsigned kMaxTries = 16;  // how often it tries again with shorter texts

  // `inputs`: the texts, which may be cut; empty if they may not. `dimensions`: the most values of each vector; 0: all.
  EmbedAnswer(EmbedVerb verb, Answer answer, std::string model, std::vector<std::string> inputs, std::size_t dimensions)
      : verb_(verb),
        answer_(std::move(answer)),
        model_(std::move(model)),
        inputs_(std::move(inputs)),
        dimensions_(dimensions) {}

  std::string_view content_type() const override { return "application/json"; }
  Result<std::string> take(std::string_view piece) override;
  Result<std::string> finish() override;
  std::optional<std::string> smaller_body(int status, std::string_view answer) override;

 private:
  EmbedVerb verb_;
  Answer answer_;
  std::string model_;
  std::vector<std::string> inputs_;
  std::size_t dimensions_;
  unsigned tries_ = 0;
  std::string text_;
};

}  // namespace minerva::ollama
