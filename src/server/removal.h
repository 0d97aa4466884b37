// Removes models' files from the disk: DELETE /v1/models/{id}/files, and the same in other APIs. The loop's thread.
#pragma once

#include <string>
#include <vector>

#include "io/task.h"
#include "pull/removal.h"
#include "server/routes.h"

namespace minerva {

struct RemovalAsked {
  std::string name;
  bool force = false;    // cancel its running requests
  bool dry_run = false;  // only say what would be removed
};
// Moves the model out of memory, and then removes its files. Sets the exchange's model.
// Errors: kForbidden (only admins may), kModelNotFound, kConflict (the model is busy, pinned, a preset, or being
// fetched), those of pull::plan_removal and pull::carry_out.
io::Task<Result<pull::Removal>> remove_model(Service& service, Exchange& x, RemovalAsked asked);

void add_removal_routes(std::vector<Route>& table);

}  // namespace minerva
