#include "server/router_routes.h"

#include <fmt/format.h>

#include "api/sse.h"
#include "router_api/answers.h"
#include "router_api/status.h"
#include "server/access.h"
#include "server/events.h"
#include "server/life_cycle.h"
#include "server/proxy.h"
#include "server/pull_routes.h"
#include "server/removal.h"

namespace minerva {
namespace {

// Sets the exchange's model to the one that the body names. false: there is no such model, and the exchange is
// answered.
io::Task<bool> named_model(Service& service, Exchange& x, std::string body) {
  Result<std::string> name = router_api::parse_model_body(body);
  Result<ModelId> model = fail(ErrorCode::kInternal, "");
  if (name) {
    model = co_await service.resolve(*std::move(name));
  } else {
    model = fail(name.error());
  }
  if (!model) {
    co_await x.error(model.error());
    co_return false;
  }
  x.model = *std::move(model);
  co_return true;
}

// The state of all models, under all their names.
std::string all_statuses(const Service& service) {
  std::string text;
  for (const ModelView& model : service.host.context().models(Clock::now())) {
    const auto status = router_api::status_of(model.residency, model.last_failure);
    for (const ModelId& name : service.names_of(model.id)) {
      text += api::sse_data(router_api::status_event(name, status));
    }
  }
  return text;
}

// A client that asked for a load waits for an event that says how the load ended. Where the core changes nothing, the
// feed has no event: so this makes one.
void tell_end_of_load(Service& service, const ModelId& model, const Result<Done>& result) {
  const Residency now = service.host.context().residency(model, Clock::now());
  if (result ? result->changed : now == Residency::kLoading || now == Residency::kPreparing) return;
  service.statuses.tell(model, router_api::status_of(now, result ? std::nullopt : std::optional(result.error())));
  service.tell_watchers();
}

// POST /models/load: answers once the load is under way. GET /models/sse says how it ended, also where there was
// nothing to load.
io::Task<void> router_load(Service& service, Exchange& x, ModelId) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  if (!co_await named_model(service, x, *body)) co_return;
  const TimePoint deadline = x.arrived + service.config.max_wait + service.config.load_timeout;
  // Shared: the answer may come at once, or after this exchange.
  const auto refused = std::make_shared<std::optional<Error>>();
  service.host.load(x.model, /*preload=*/false, /*force=*/false, deadline,
                    [&service, refused, model = x.model](const Result<Done>& result) {
                      if (!result) *refused = result.error();
                      tell_end_of_load(service, model, result);
                    });
  if (*refused) co_return co_await x.error(**refused);
  co_await x.json(200, router_api::success_json());
}

// The download under way with that name; nullptr: there is none.
const pull::Job* find_download(const Service& service, std::string_view name) {
  for (const pull::Job* const job : service.downloads.list()) {
    if (!job->ended() && job->name == name) return job;
  }
  return nullptr;
}

// Cancels the download with that name, and answers. false: there is none under way, and the exchange is not answered.
io::Task<bool> cancelled_download(Service& service, Exchange& x, std::string name) {
  const pull::Job* const job = find_download(service, name);
  if (job == nullptr) co_return false;
  const std::string id = job->id;
  std::optional<Error> error = refuse_unless_admin(service.config, x.caller, "pull models");
  if (!error) {
    if (const Result<void> cancelled = service.downloads.cancel(id); !cancelled) error = cancelled.error();
  }
  if (error) {
    co_await x.error(*error);
  } else {
    co_await x.json(200, router_api::success_json());
  }
  co_return true;
}

// POST /models: answers once the hub has said that the model exists. GET /models/sse says how the download goes on.
io::Task<void> router_pull(Service& service, Exchange& x, ModelId) {
  if (const auto refused = refuse_unless_admin(service.config, x.caller, "pull models"))
    co_return co_await x.error(*refused);
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<std::string> name = router_api::parse_model_body(*body);
  if (!name) co_return co_await x.error(name.error());
  if (const Result<ModelId> here = co_await service.resolve(*name)) {
    co_return co_await x.error(
        {ErrorCode::kInvalidArgument, fmt::format("There is a model \"{}\" already.", *here), "model"});
  }
  const Result<pull::Listing> listing = co_await look_up_choices(service, x, *name);
  if (!listing) co_return co_await x.error(listing.error());
  if (listing->chosen.empty()) co_return co_await x.error({ErrorCode::kInvalidArgument, listing->why, "model"});
  const Result<const pull::Job*> job = service.downloads.pull(*name);
  if (!job) co_return co_await x.error(job.error());
  co_await x.json(200, router_api::success_json());
}

// DELETE /models?model=: removes the model's files. If the model is being fetched, the download ends.
io::Task<void> router_remove(Service& service, Exchange& x, ModelId) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const std::string* const name = x.query.find("model");
  if (x.query.count("model") != 1 || name->empty()) {
    co_return co_await x.error({ErrorCode::kInvalidArgument, "Say which one model: DELETE /models?model=ID.", "model"});
  }
  if (co_await cancelled_download(service, x, *name)) co_return;
  const auto removed = co_await remove_model(service, x, {.name = *name});
  if (!removed) co_return co_await x.error(removed.error());
  co_await x.json(200, router_api::success_json());
}

// POST /models/unload: answers once the model has left. GET /models/sse says so, also where it was not loaded. In
// llama.cpp's router this is also the one way to cancel a download.
io::Task<void> router_unload(Service& service, Exchange& x, ModelId) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  if (const auto name = router_api::parse_model_body(*body)) {
    if (co_await cancelled_download(service, x, *name)) co_return;
  }
  if (!co_await named_model(service, x, *body)) co_return;
  const Result<Done> done = co_await unload_and_wait(service, x, x.model);
  if (!done) co_return co_await x.error(done.error());
  if (!done->changed) {
    service.statuses.tell(x.model, router_api::status_of(Residency::kCold, std::nullopt));
    service.tell_watchers();
  }
  co_await x.json(200, router_api::success_json());
}

// GET /models/sse: the state of each model now, and then each change.
io::Task<void> router_events(Service& service, Exchange& x, ModelId) {
  const api::EventLog& log = service.statuses.log();
  std::uint64_t cursor = log.last_id();
  const std::string first = api::sse_comment("watching") + all_statuses(service);
  // A reader that is too slow gets the state now, instead of the changes that it missed.
  co_await stream_events(service, x, first, [&](std::size_t most) {
    if (!log.lost(cursor)) return log.read(cursor, most);
    cursor = log.last_id();
    return api::sse_data(router_api::reload_event()) + all_statuses(service);
  });
}

// POST /v1/streams/lookup: no stream goes on without its client, so there is none to list.
io::Task<void> router_streams(Service&, Exchange& x, ModelId) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  co_await x.json(200, "[]");
}

// Refuses what llama.cpp's server does for its clients on the machine and in the network.
io::Task<void> router_forbidden(Service&, Exchange& x, ModelId) {
  co_await x.error({ErrorCode::kForbidden, "Minerva runs no tools and fetches nothing for its clients."});
}

// Answers with the files of the web UI. GET /chat leads to its page.
io::Task<void> router_ui(Service& service, Exchange& x, ModelId) {
  if (x.route->path == "/chat/") co_return co_await service.web_ui.answer(service.loop, x, "/chat/");
  if (x.path != "/chat") co_return co_await service.web_ui.answer(service.loop, x, x.path);
  io::ResponseHead head;
  head.status = x.status = 302;
  head.headers.add("Location", x.raw_query.empty() ? "/chat/" : "/chat/?" + x.raw_query);
  head.headers.add("x-request-id", x.request_id);
  co_await x.connection.respond(std::move(head), "");
}

}  // namespace

io::Task<void> router_props(Service& service, Exchange& x, ModelId) {
  const std::string* const model = x.query.find("model");
  if (model != nullptr && !model->empty()) co_return co_await proxy(service, x);
  co_await x.json(200, router_api::props_json({service.config.max_models, "minerva " MINERVA_VERSION}));
}

void add_router_routes(std::vector<Route>& table) {
  const auto add = [&](std::string_view method, std::string_view path, std::string_view meaning,
                       Route::Handler handle) {
    table.push_back({.method = method, .path = path, .meaning = meaning, .handle = handle});
  };
  add("POST", "/models/load", "llama.cpp's router: load a model", router_load);
  add("POST", "/models/unload", "llama.cpp's router: unload a model", router_unload);
  add("POST", "/models", "llama.cpp's router: pull a model", router_pull);
  add("DELETE", "/models", "llama.cpp's router: remove a model's files", router_remove);
  add("GET", "/models/sse", "llama.cpp's router: how models are, as they change", router_events);
  add("POST", "/v1/streams/lookup", "llama.cpp's router: streams that go on without their clients; none",
      router_streams);
  for (const std::string_view path : {"/tools", "/cors-proxy"}) {
    for (const std::string_view method : {"GET", "POST"}) {
      add(method, path, "refused: Minerva runs no tools and fetches nothing", router_forbidden);
    }
  }
  for (const std::string_view path : {"/chat", "/chat/", "/chat/{path}"}) {
    table.push_back({.method = "GET",
                     .path = path,
                     .meaning = "llama.cpp's web UI; what is none of its files is routed as without /chat",
                     .handle = router_ui,
                     .open = true});
  }
}

}  // namespace minerva
