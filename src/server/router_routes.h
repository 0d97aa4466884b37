// The handlers of llama.cpp's router API: what its web UI and its users' scripts call beside inference. Each answers its
// exchange in exactly one way.
#pragma once

#include "io/task.h"
#include "server/exchange.h"
#include "server/service.h"

namespace minerva {

// GET /props without a model: the router's own. With one: the model's.
io::Task<void> router_props(Service& service, Exchange& x, ModelId id);
// POST /models/load: answered once the load is under way; GET /models/sse tells how it ended, also where there was nothing
// to load.
io::Task<void> router_load(Service& service, Exchange& x, ModelId id);
// POST /models/unload: answered once the model has left; GET /models/sse tells it, also where it was not loaded.
io::Task<void> router_unload(Service& service, Exchange& x, ModelId id);
// GET /models/sse: how each model is now, and then each change.
io::Task<void> router_events(Service& service, Exchange& x, ModelId id);
// POST /v1/streams/lookup: none of a client's streams goes on without it.
io::Task<void> router_streams(Service& service, Exchange& x, ModelId id);
// /tools and /cors-proxy.
io::Task<void> router_forbidden(Service& service, Exchange& x, ModelId id);

}  // namespace minerva
