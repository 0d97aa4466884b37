// GET /v1/requests and DELETE /v1/requests/{id}: what goes on, and an end to one of it. GET /v1/samples: how it was.
//
// Where keys are needed, a key that is none of admin_keys shows and cancels only what it has asked for itself.
#pragma once

#include <vector>

#include "server/routes.h"

namespace minerva {

// Adds the rows of the route table.
void add_activity_routes(std::vector<Route>& table);

}  // namespace minerva
