// Pulls over HTTP: POST /v1/pull, /v1/downloads; and how other APIs' pulls look up and follow one.
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

// What a repository has, without fetching any of it. Errors: as pull::Downloads::list_choices; kCancelled: the client
// went away.
io::Task<Result<pull::Listing>> look_up_choices(Service& service, Exchange& x, std::string name, pull::With with = {});
// Streams what `tell` says of the download at each of its changes (empty: nothing), until it has ended or is paused,
// the client is gone or the server drains.
io::Task<void> follow_download(Service& service, Exchange& x, std::string id, std::string content_type,
                               std::function<std::string(const pull::Job&)> tell);
// Answers once it has ended or is paused: with `success`, or why not.
io::Task<void> answer_ended_download(Service& service, Exchange& x, std::string id, std::string success);

void add_pull_routes(std::vector<Route>& table);

}  // namespace minerva
