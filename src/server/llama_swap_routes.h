// llama-swap's API: what its users' scripts call beside inference.
#pragma once

#include <vector>

#include "server/routes.h"

namespace minerva {

// The rows of the route table.
void add_llama_swap_routes(std::vector<Route>& table);

}  // namespace minerva
