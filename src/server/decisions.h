// GET /v1/decisions: why the core did what it did. The loop's thread.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// Shows the latest decisions first. ?limit= says how many (100); ?model= takes only decisions about that model, or for
// which it had to leave.
io::Task<void> show_decisions(Service& service, Exchange& x);

}  // namespace minerva
