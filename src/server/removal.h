// Models' files leave the disk: DELETE /v1/models/{id}/files, and the same by other APIs.
#pragma once

#include <string>
#include <vector>

#include "io/task.h"
#include "pull/removal.h"
#include "server/routes.h"

namespace minerva {

struct RemovalAsked {
  std::string name;
  bool force = false;    // its running requests are cancelled
  bool dry_run = false;  // only what would go
};
// The model leaves memory, and then its files go. Sets the exchange's model.
// Errors: kForbidden (only admins may), kModelNotFound, kConflict (it is busy, pinned, being fetched, a preset), those
// of pull::plan_removal and pull::carry_out.
io::Task<Result<pull::Removal>> remove_model(Service& service, Exchange& x, RemovalAsked asked);

void add_removal_routes(std::vector<Route>& table);

}  // namespace minerva
