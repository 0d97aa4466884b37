// The proxy path: an inference request gets a lease on its model, and is relayed to the engine and back.
//
// The body goes out as the bytes it came in, the answer comes back as the engine gives it when it is a 2xx; anything
// else is put into the error shape of the exchange's dialect. A client that goes away leaves the queue, or ends its
// generation. An API that is not the engine's own hands in its translation of both: there is one proxy for all.
#pragma once

#include <memory>
#include <string>

#include "api/answer_translation.h"
#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// A request of another API, as its handler has translated it for the engine.
struct TranslatedRequest {
  std::string model;  // as the request names it
  std::string path;   // the engine's route
  std::string body;   // JSON, in place of the exchange's body, which was read
  bool stream = false;
  std::unique_ptr<api::AnswerTranslation> answer;  // never null
};

// Answers `exchange`, in exactly one way.
io::Task<void> proxy(Service& service, Exchange& exchange);
io::Task<void> proxy(Service& service, Exchange& exchange, TranslatedRequest request);

}  // namespace minerva
