// The routes of Activity and Samples: GET /v1/requests shows requests, DELETE /v1/requests/{id} cancels one, GET
// /v1/samples shows the last hour.
//
// Where keys are needed, a key that is not among admin_keys sees and cancels only its own requests.
#pragma once

#include <vector>

#include "server/routes.h"

namespace minerva {

// Adds the rows of the route table.
void add_activity_routes(std::vector<Route>& table);

}  // namespace minerva
