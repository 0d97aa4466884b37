// The proxy path: an inference request gets a lease on its model, and is relayed to the engine and back.
//
// The body goes out as the bytes it came in, the answer comes back as the engine gives it when it is a 2xx; anything
// else is put into OpenAI's error shape. A client that goes away leaves the queue, or ends its generation.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// Answers `exchange`, in exactly one way.
io::Task<void> proxy(Service& service, Exchange& exchange);

}  // namespace minerva
