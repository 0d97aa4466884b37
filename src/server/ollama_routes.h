// The handlers of Ollama's API. src/ollama/ does the translation; requests for an engine go through the one proxy. Each
// handler answers its exchange exactly once. The loop's thread.
#pragma once

#include <vector>

#include "server/routes.h"

namespace minerva {

// Adds the rows of the route table. Their dialect is Ollama's.
void add_ollama_routes(std::vector<Route>& table);

}  // namespace minerva
