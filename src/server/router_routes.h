// llama.cpp's router API and its web UI: the routes that the UI and its users' scripts call beside inference. Each
// handler answers its exchange exactly once. The loop's thread.
#pragma once

#include <vector>

#include "io/task.h"
#include "server/exchange.h"
#include "server/routes.h"
#include "server/service.h"

namespace minerva {

// Adds the rows of the route table, except for the one of GET /props.
void add_router_routes(std::vector<Route>& table);

// GET /props without a model: the router's own properties. With a model: the model's.
io::Task<void> router_props(Service& service, Exchange& x, ModelId id);

}  // namespace minerva
