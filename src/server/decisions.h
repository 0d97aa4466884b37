// GET /v1/decisions: why things are as they are.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// The latest first: ?limit= so many (100), ?model= those that are about it or that it had to leave for.
io::Task<void> show_decisions(Service& service, Exchange& x);

}  // namespace minerva
