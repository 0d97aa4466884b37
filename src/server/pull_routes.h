// Pulls over HTTP: POST /v1/pull and /v1/downloads. Also how the routes of other APIs look up and follow a download.
//
// A download belongs to the server: a client that goes away only stops watching. Threading: the loop's thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "io/task.h"
#include "pull/job.h"
#include "server/routes.h"

namespace minerva {

// Lists what a repository has, and fetches none of it. Errors: as pull::Downloads::list_choices; kCancelled: the client
// went away.
io::Task<Result<pull::Listing>> look_up_choices(Service& service, Exchange& x, std::string name, pull::With with = {});
// Streams what `tell` returns at each change of the download (empty: nothing). Ends when the download has ended or is
// paused, when the client is gone, or when the server drains.
io::Task<void> follow_download(Service& service, Exchange& x, std::string id, std::string content_type,
                               std::function<std::string(const pull::Job&)> tell);
// Answers once the download has ended or is paused: with `success`, or with the reason why not.
io::Task<void> answer_ended_download(Service& service, Exchange& x, std::string id, std::string success);

void add_pull_routes(std::vector<Route>& table);

}  // namespace minerva
