// llama.cpp's router API, and its web UI: what that and its users' scripts call beside inference. Each handler answers
// its exchange in exactly one way.
#pragma once

#include <vector>

#include "io/task.h"
#include "server/exchange.h"
#include "server/routes.h"
#include "server/service.h"

namespace minerva {

// The rows of the route table, but for that of GET /props.
void add_router_routes(std::vector<Route>& table);

// GET /props without a model: the router's own. With one: the model's.
io::Task<void> router_props(Service& service, Exchange& x, ModelId id);

}  // namespace minerva
