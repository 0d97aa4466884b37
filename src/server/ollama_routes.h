// The handlers of Ollama's API. What they translate is in src/ollama/; requests for an engine go through the one proxy.
// Each answers its exchange in exactly one way.
#pragma once

#include <vector>

#include "server/routes.h"

namespace minerva {

// The rows of the route table. Their dialect is Ollama's.
std::vector<Route> ollama_routes();

// The row's path of a path that has a part of its own ("/api/blobs/sha256:..."); `path` itself if it has none.
std::string_view ollama_pattern(std::string_view path);

}  // namespace minerva
