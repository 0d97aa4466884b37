// Pulls over HTTP: POST /v1/pull, GET /v1/downloads, DELETE /v1/downloads/{id}; and how other APIs' pulls follow one.
//
// A pull belongs to the server: a client that goes away only stops looking.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/task.h"
#include "pull/job.h"
#include "server/routes.h"

namespace minerva {

// Streams what `tell` says of the download at each of its changes (empty: nothing), until it has ended, the client is
// gone or the server drains.
io::Task<void> follow_download(Service& service, Exchange& x, std::string id, std::string content_type,
                               std::function<std::string(const pull::Job&)> tell);
// Answers once it has ended: with `success`, or why not.
io::Task<void> answer_ended_download(Service& service, Exchange& x, std::string id, std::string success);

void add_pull_routes(std::vector<Route>& table);

}  // namespace minerva
