// The handlers of the models' life cycle and of the lists. Each handler answers its exchange exactly once. The loop's
// thread.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// POST /v1/models/{id}/load and /preload.
io::Task<void> load_model(Service& service, Exchange& exchange, ModelId id, bool preload);
// POST /v1/models/{id}/park.
io::Task<void> park_model(Service& service, Exchange& exchange, ModelId id);
// DELETE /v1/models/{id} and POST /v1/models/{id}/unload.
io::Task<void> unload_model(Service& service, Exchange& exchange, ModelId id);
// Unloads a model for other APIs. Errors: those of ModelHost::unload; kCancelled: the client went away.
io::Task<Result<Done>> unload_and_wait(Service& service, Exchange& exchange, ModelId model);
// POST /v1/models/{id}/pin and /unpin.
io::Task<void> pin_model(Service& service, Exchange& exchange, ModelId id, bool pinned);
// POST /v1/cache/clear?stats=&history=&images=&all=: at least one of these has to be true.
io::Task<void> clear_cache(Service& service, Exchange& exchange);
// GET /v1/models/{id}/logs, lines of text: ?tail=N, ?follow=true.
io::Task<void> model_logs(Service& service, Exchange& exchange, ModelId id);
// GET /v1/models, /v1/models/{id}, /v1/models/stats.
io::Task<void> list_models(Service& service, Exchange& exchange);
io::Task<void> show_model(Service& service, Exchange& exchange, ModelId id);
io::Task<void> show_stats(Service& service, Exchange& exchange);

}  // namespace minerva
