#include "server/activity_routes.h"

#include <fmt/format.h>

#include <charconv>
#include <map>
#include <utility>

#include "api/activity.h"
#include "base/log.h"
#include "server/access.h"
#include "server/activity.h"

namespace minerva {
namespace {

bool may_see(const Service& service, const Exchange& x, UserId whose) {
  return is_admin(service.config, x.caller) || x.caller.user == whose;
}

// A waiting request is either in line, or its model is being loaded or woken.
void describe_wait(const Service& service, api::InFlightAnswer& answer, std::size_t place) {
  const ModelId& model = answer.request.model;
  switch (service.host.context().residency(model, Clock::now())) {
    case Residency::kLoading:
      answer.phase = "loading";
      answer.fraction = service.host.load_progress(model);
      return;
    case Residency::kWaking:
      answer.phase = "waking";
      return;
    default:
      answer.place = place;
  }
}

io::Task<void> show_requests(Service& service, Exchange& x, ModelId /*id*/) {
  const TimePoint now = Clock::now();
  const auto wall = std::chrono::system_clock::now();
  std::vector<api::InFlightAnswer> in_flight;
  std::map<ModelId, std::size_t> lines;
  for (const Activity::Entry* const entry : service.activity.in_flight()) {
    const ModelId& model = entry->exchange().model;
    const bool waits = entry->phase() == Activity::Phase::kWaiting && !model.empty();
    const std::size_t place = waits ? ++lines[model] : 0;
    if (!may_see(service, x, entry->exchange().caller.user)) continue;
    in_flight.push_back(entry->answer(now, wall));
    if (waits) describe_wait(service, in_flight.back(), place);
  }
  std::vector<api::EndedAnswer> recent;
  for (const Activity::Ended& ended : service.activity.recent()) {
    if (may_see(service, x, ended.user)) recent.push_back(ended.answer);
  }
  co_await x.json(200, api::requests_json(in_flight, recent));
}

io::Task<void> cancel_request(Service& service, Exchange& x, ModelId id) {
  const Activity::Entry* const found = service.activity.find(id);
  // A caller who may not see the request does not learn that it exists.
  if (found == nullptr || !may_see(service, x, found->exchange().caller.user)) {
    co_return co_await x.error(
        {ErrorCode::kRouteNotFound,
         fmt::format("There is no request \"{}\" in flight. GET /v1/requests lists those that are.", id), "id"});
  }
  log::info("{} was cancelled by {}", id, x.request_id);
  const std::function<void()> cancel = found->canceller();  // a copy, since the entry may end meanwhile
  cancel();
  co_await x.json(200, api::cancelled_json(id));
}

// The moment that the query names, in seconds since 1970; 0 if it names none. Errors: kInvalidArgument.
Result<double> read_since(const Exchange& x) {
  const std::string* const text = x.query.find("since");
  if (text == nullptr || text->empty()) return 0;
  double since = 0;
  const char* const end = text->data() + text->size();
  const auto [parsed, error] = std::from_chars(text->data(), end, since, std::chars_format::fixed);
  if (error == std::errc() && parsed == end && since >= 0) return since;
  return fail(ErrorCode::kInvalidArgument, "\"since\" is a time in seconds since 1970.", "since");
}

io::Task<void> show_samples(Service& service, Exchange& x, ModelId /*id*/) {
  const Result<double> since = read_since(x);
  if (!since) co_return co_await x.error(since.error());
  co_await x.json(
      200, api::samples_json(service.samples.all(), *since, Samples::kInterval, std::chrono::system_clock::now()));
}

}  // namespace

void add_activity_routes(std::vector<Route>& table) {
  table.push_back({"GET", "/v1/requests", "requests in flight, and the latest that ended", show_requests});
  table.push_back({"GET", "/v1/samples", "memory, lines and speeds of the last hour", show_samples});
  table.push_back({"DELETE", "/v1/requests/{id}", "cancel one that is in flight", cancel_request});
}

}  // namespace minerva
