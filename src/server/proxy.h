// The proxy path: an inference request gets a lease on its model, and is relayed to the engine and back.
//
// The body goes on as the bytes that came. A 2xx answer comes back as the engine sends it. Any other answer gets the
// error shape of the exchange's dialect. If the client goes away, its request leaves the line, or its generation ends.
// Another API than the engine's hands in a translation of both directions: all APIs share this one proxy. Threading:
// the loop's thread.
#pragma once

#include <memory>
#include <string>

#include "api/answer_translation.h"
#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// A request of another API, translated for the engine by its handler.
struct TranslatedRequest {
  std::string model;  // the name in the request
  std::string path;   // the path of the engine's route
  std::string body;   // JSON; replaces the exchange's body, which was read
  bool stream = false;
  std::unique_ptr<api::AnswerTranslation> answer;  // never null
};

// Answers `exchange`, exactly once.
io::Task<void> proxy(Service& service, Exchange& exchange);
io::Task<void> proxy(Service& service, Exchange& exchange, TranslatedRequest request);

}  // namespace minerva
