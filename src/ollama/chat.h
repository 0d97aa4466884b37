// /api/chat and /api/generate: requests for llama.cpp's server, and its answers as Ollama's.
//
// Pure; any thread. What a model is, and whether it is there, is handed in.
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

// What the translation has to know of the model.
struct ModelFacts {
  bool has_chat_template = true;
  unsigned context = 0;  // tokens per conversation; 0: not known
};

// Nothing is to be generated: the model is to be loaded, or to go (keep_alive 0).
bool only_loads(Verb verb, const Request& request);
// What such a request is answered with, once it was done: "load" or "unload".
std::string loaded_answer(Verb verb, const Request& request, const Answer& answer);

// A chat goes to /v1/chat/completions; so does a prompt, as a user's message. A raw prompt, and one for a model without
// a chat template, goes to /completion as it is, one with a suffix to /infill.
// When the engine says that it is longer than the model's context, the oldest turns are left out, unless the request
// has "truncate": false.
// Errors: kInvalidArgument.
Result<EngineRequest> translate(Verb verb, const Request& request, const ModelFacts& model, Answer answer);

}  // namespace minerva::ollama
