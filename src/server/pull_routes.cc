#include "server/pull_routes.h"

#include <fmt/format.h>

#include <memory>
#include <optional>
#include <utility>

#include "api/dialect.h"
#include "api/sse.h"
#include "server/access.h"
#include "server/events.h"

namespace minerva {

io::Task<Result<pull::Listing>> look_up_choices(Service& service, Exchange& x, std::string name, pull::With with) {
  struct Reply {
    explicit Reply(io::Loop& loop) : answered(loop) {}
    io::Signal answered;
    std::optional<Result<pull::Listing>> answer;
  };
  // Shared, since the answer may come when nobody waits any more.
  const auto reply = std::make_shared<Reply>(service.loop);
  const Result<void> begun = service.downloads.list_choices(name, with, [reply](Result<pull::Listing> listing) {
    reply->answer = std::move(listing);
    reply->answered.notify();
  });
  if (!begun) co_return fail(begun.error());
  bool gone = false;
  x.connection.watch_peer([&gone, reply] {
    gone = true;
    reply->answered.notify();
  });
  while (!reply->answer && !gone) co_await reply->answered.wait();
  x.connection.unwatch_peer();
  if (!reply->answer) co_return fail(ErrorCode::kCancelled, "the client went away");
  co_return *std::move(reply->answer);
}

namespace {

// POST /v1/pull: answers once the download is in the table. With Accept: text/event-stream it sends each change until
// the end.
io::Task<void> begin_pull(Service& service, Exchange& x, ModelId /*id*/) {
  if (const auto refused = refuse_unless_admin(service.config, x.caller, "pull models"))
    co_return co_await x.error(*refused);
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<pull::PullBody> asked = pull::parse_pull_body(*body);
  if (!asked) co_return co_await x.error(asked.error());
  const Result<bool> dry_run = x.query.flag("dry_run", false);
  if (!dry_run) co_return co_await x.error(dry_run.error());
  if (*dry_run) {
    const Result<pull::Listing> listing = co_await look_up_choices(service, x, asked->name, asked->with);
    if (!listing) co_return co_await x.error(listing.error());
    co_return co_await x.json(200, pull::listing_json(*listing));
  }
  const Result<const pull::Job*> job = service.downloads.pull(asked->name, asked->with);
  if (!job) co_return co_await x.error(job.error());
  const std::string* const accept = x.request.headers.find("accept");
  if (accept == nullptr || accept->find("text/event-stream") == std::string::npos) {
    co_return co_await x.json(202, pull::job_json(**job));
  }
  const std::string id = (*job)->id;
  co_await follow_download(service, x, id, "text/event-stream",
                           [](const pull::Job& now) { return api::sse_data(pull::job_json(now)); });
}

io::Task<void> list_downloads(Service& service, Exchange& x, ModelId /*id*/) {
  co_await x.json(200, pull::jobs_json(service.downloads.list()));
}

// Cancels, pauses or resumes a download.
template <Result<void> (pull::Downloads::*kDeed)(const std::string& id)>
io::Task<void> change_download(Service& service, Exchange& x, ModelId id) {
  if (const auto refused = refuse_unless_admin(service.config, x.caller, "pull models"))
    co_return co_await x.error(*refused);
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<void> changed = (service.downloads.*kDeed)(id);
  if (!changed) co_return co_await x.error(changed.error());
  const pull::Job* const job = service.downloads.find(id);
  co_await x.json(200, job == nullptr ? "{}" : pull::job_json(*job));
}

}  // namespace

io::Task<void> follow_download(Service& service, Exchange& x, std::string id, std::string content_type,
                               std::function<std::string(const pull::Job&)> tell) {
  io::ResponseHead head;
  head.headers.add("Content-Type", std::move(content_type));
  head.headers.add("Cache-Control", "no-cache");
  head.headers.add("x-request-id", x.request_id);
  x.status = 200;
  Watcher watcher(service);
  bool gone = false;
  x.connection.watch_peer([&] {
    gone = true;
    watcher.woken.notify();
  });
  bool open = co_await x.connection.start(head);
  std::string told;
  while (open && !gone) {
    const pull::Job* const job = service.downloads.find(id);
    if (job == nullptr) break;  // the table has forgotten it, since many others have ended
    const bool ended = job->ended() || job->state == pull::JobState::kPaused;
    if (std::string text = tell(*job); !text.empty() && text != told) {
      told = std::move(text);
      open = co_await x.connection.send(told);
    }
    if (ended || service.draining || !open) break;
    if (co_await watcher.woken.wait_until(Clock::now() + kFeedHeartbeat)) continue;
    const std::string beat = api::heartbeat(x.dialect, "downloading");
    if (!beat.empty()) open = co_await x.connection.send(beat);
  }
  x.connection.unwatch_peer();
  co_await x.connection.finish();
}

io::Task<void> answer_ended_download(Service& service, Exchange& x, std::string id, std::string success) {
  Watcher watcher(service);
  bool gone = false;
  x.connection.watch_peer([&] {
    gone = true;
    watcher.woken.notify();
  });
  std::optional<Error> error;
  while (true) {
    const pull::Job* const job = service.downloads.find(id);
    if (gone) error = Error{ErrorCode::kCancelled, "the client went away"};
    if (!gone && job == nullptr) error = Error{ErrorCode::kModelNotFound, "The download is not kept any more."};
    if (!error && job->state == pull::JobState::kFailed) error = job->error;
    if (!error && job->state == pull::JobState::kCancelled) {
      error = Error{ErrorCode::kConflict, "The download was cancelled."};
    }
    if (!error && job->state == pull::JobState::kPaused) {
      error =
          Error{ErrorCode::kConflict, fmt::format("The download is paused. POST /v1/downloads/{}/resume goes on.", id)};
    }
    if (!error && service.draining) {
      error = Error{ErrorCode::kDraining, "The server is shutting down; the download goes on when it is there again.",
                    "", 5};
    }
    if (error || job->ended()) break;
    co_await watcher.woken.wait_until(Clock::now() + kFeedHeartbeat);
  }
  x.connection.unwatch_peer();
  if (error) co_return co_await x.error(*error);
  co_await x.json(200, std::move(success));
}

void add_pull_routes(std::vector<Route>& table) {
  table.push_back({"POST", "/v1/pull", "pull a model; ?dry_run=true: what there is to choose from", begin_pull});
  table.push_back({"GET", "/v1/downloads", "pulls under way, and the last that ended", list_downloads});
  table.push_back({"DELETE", "/v1/downloads/{id}", "cancel one; what came of it leaves the disk",
                   change_download<&pull::Downloads::cancel>});
  table.push_back({"POST", "/v1/downloads/{id}/pause",
                   "nothing more of it comes until it is resumed, restarts included",
                   change_download<&pull::Downloads::pause>});
  table.push_back({"POST", "/v1/downloads/{id}/resume", "it goes on", change_download<&pull::Downloads::resume>});
}

}  // namespace minerva
