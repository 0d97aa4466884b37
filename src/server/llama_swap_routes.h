// llama-swap's API: the routes that its users' scripts call beside inference. The loop's thread.
#pragma once

#include <vector>

#include "server/routes.h"

namespace minerva {

// The rows of the route table.
void add_llama_swap_routes(std::vector<Route>& table);

}  // namespace minerva
