#include "server/router_routes.h"

#include <fmt/format.h>

#include "api/sse.h"
#include "router_api/answers.h"
#include "router_api/status.h"
#include "server/events.h"
#include "server/life_cycle.h"
#include "server/proxy.h"

namespace minerva {
namespace {

constexpr Bytes kMaxBody = Bytes::mib(1);

// Sets the exchange's model to the one that the body names. false: there is none, and that is answered.
io::Task<bool> named_model(Service& service, Exchange& x) {
  const Result<std::string> body = co_await x.body(kMaxBody);
  Result<std::string> name = body ? router_api::parse_model_body(*body) : Result<std::string>(fail(body.error()));
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

// How all models are now, by all their names.
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

// Who asked for a load waits for an event that says how it ended. Where the core changes nothing it tells nothing.
void tell_end_of_load(Service& service, const ModelId& model, const Result<Done>& result) {
  const Residency now = service.host.context().residency(model, Clock::now());
  if (result ? result->changed : now == Residency::kLoading || now == Residency::kPreparing) return;
  service.statuses.tell(model, router_api::status_of(now, result ? std::nullopt : std::optional(result.error())));
  service.tell_watchers();
}

}  // namespace

io::Task<void> router_props(Service& service, Exchange& x, ModelId) {
  const std::string* const model = x.query.find("model");
  if (model != nullptr && !model->empty()) co_return co_await proxy(service, x);
  co_await x.json(200, router_api::props_json({service.config.max_models, "minerva " MINERVA_VERSION}));
}

io::Task<void> router_load(Service& service, Exchange& x, ModelId) {
  if (!co_await named_model(service, x)) co_return;
  const TimePoint deadline = x.arrived + service.config.max_wait + service.config.load_timeout;
  // Shared: the answer may come at once, and after this exchange.
  const auto refused = std::make_shared<std::optional<Error>>();
  service.host.load(x.model, /*preload=*/false, /*force=*/false, deadline,
                    [&service, refused, model = x.model](const Result<Done>& result) {
                      if (!result) *refused = result.error();
                      tell_end_of_load(service, model, result);
                    });
  if (*refused) co_return co_await x.error(**refused);
  co_await x.json(200, router_api::success_json());
}

io::Task<void> router_unload(Service& service, Exchange& x, ModelId) {
  if (!co_await named_model(service, x)) co_return;
  const Result<Done> done = co_await unload_and_wait(service, x, x.model);
  if (!done) co_return co_await x.error(done.error());
  if (!done->changed) {
    service.statuses.tell(x.model, router_api::status_of(Residency::kCold, std::nullopt));
    service.tell_watchers();
  }
  co_await x.json(200, router_api::success_json());
}

io::Task<void> router_events(Service& service, Exchange& x, ModelId) {
  const api::EventLog& log = service.statuses.log();
  std::uint64_t cursor = log.last_id();
  const std::string first = api::sse_comment("watching") + all_statuses(service);
  // Who is too slow is told how things are, instead of how they became so.
  co_await stream_events(service, x, first, [&](std::size_t most) {
    if (!log.lost(cursor)) return log.read(cursor, most);
    cursor = log.last_id();
    return api::sse_data(router_api::reload_event()) + all_statuses(service);
  });
}

io::Task<void> router_streams(Service&, Exchange& x, ModelId) {
  const Result<std::string> body = co_await x.body(kMaxBody);
  if (!body) co_return co_await x.error(body.error());
  co_await x.json(200, "[]");
}

io::Task<void> router_forbidden(Service&, Exchange& x, ModelId) {
  co_await x.error({ErrorCode::kForbidden, "Minerva runs no tools and fetches nothing for its clients."});
}

}  // namespace minerva
