// /api/chat and /api/generate: translates the requests for llama.cpp's server, and its answers back.
//
// Pure; any thread. The caller says what the model is, and whether it exists.
#pragma once

#include <memory>
#include <string>

#include "api/answer_translation.h"
#include "ollama/answer.h"
#include "ollama/request.h"

namespace minerva::ollama {

enum class Verb : std::uint8_t { kChat, kGenerate };

// A request for the engine.
struct EngineRequest {
  std::string path;
  std::string body;
  std::unique_ptr<api::AnswerTranslation> answer;  // never null
};

// What the translation has to know about the model.
struct ModelFacts {
  bool has_chat_template = true;
  unsigned context = 0;  // tokens per conversation; 0: not known
  bool supports_tools = true;
  bool supports_thinking = true;
};
// Whether the facts decide what the request becomes.
bool needs_facts(Verb verb, const Request& request);

// Whether nothing is to be generated: the model is only to be loaded, or to leave (keep_alive 0).
bool only_loads(Verb verb, const Request& request);
// The answer to such a request, once it is done: "load" or "unload".
std::string loaded_answer(Verb verb, const Request& request, const Answer& answer);

// Translates a request. A chat goes to /v1/chat/completions, and so does a prompt, as the message of a user. A raw
// prompt, and a prompt for a model without a chat template, goes unchanged to /completion; one with a suffix goes to
// /infill. If the engine says that the conversation is longer than the model's context, the oldest turns are left out,
// unless the request has "truncate": false.
// Errors: kInvalidArgument.
Result<EngineRequest> translate(Verb verb, const Request& request, const ModelFacts& model, Answer answer);

}  // namespace minerva::ollama
