// The handlers of llama-swap's API: what its users' scripts call beside inference. Each answers its exchange in exactly
// one way.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// GET /running.
io::Task<void> swap_running(Service& service, Exchange& x, ModelId id);
// GET /unload and POST /api/models/unload: all models leave, as by POST /v1/models/{id}/unload.
io::Task<void> swap_unload_all(Service& service, Exchange& x, ModelId id);
// POST /api/models/unload/{id}.
io::Task<void> swap_unload(Service& service, Exchange& x, ModelId id);
// GET /logs: the newest lines of all models' engines.
io::Task<void> swap_logs(Service& service, Exchange& x, ModelId id);
// GET /logs/stream: those, and each line as it comes, of the models that there are now; /logs/stream/{id}: of one model.
io::Task<void> swap_follow_logs(Service& service, Exchange& x, ModelId id);

}  // namespace minerva
