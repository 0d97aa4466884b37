// The handlers of Ollama's API. What they translate is in src/ollama/; requests for an engine go through the one proxy.
// Each answers its exchange in exactly one way.
#pragma once

#include <vector>

#include "server/routes.h"

namespace minerva {

// Adds the rows of the route table. Their dialect is Ollama's.
void add_ollama_routes(std::vector<Route>& table);

}  // namespace minerva
