#include "server/service.h"

#include <fmt/format.h>

namespace minerva {

std::uint64_t Service::first_event_id() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
}

void Service::follow_host() {
  host.on_step([this](const Event& event, const std::vector<Action>& actions) {
    const std::uint64_t before = events.log().last_id();
    events.take(event, actions, host.context(), Clock::now(), std::chrono::system_clock::now());
    if (events.log().last_id() != before) tell_watchers();
  });
  host.on_progress([this](const ModelId& model, double fraction) {
    events.take_progress(model, fraction, std::chrono::system_clock::now());
    tell_watchers();
  });
}

void Service::tell_watchers() {
  for (io::Signal* const watcher : watchers) watcher->notify();
}

void Service::plan_schedules() { timetable.set(config.zone, config.max_wait + config.load_timeout, catalog.list()); }

void Service::catalog_changed() {
  plan_schedules();
  background_inspection.look();
}

io::Task<Result<ModelId>> Service::resolve(std::string name) {
  if (const ModelSpec* spec = catalog.look_up(name)) {
    co_await catalog_watch.check_files(spec->id);
  } else {
    co_await catalog_watch.refresh_if_changed();
  }
  if (const ModelSpec* spec = catalog.look_up(name)) co_return spec->id;
  co_return fail(ErrorCode::kModelNotFound,
                 fmt::format("There is no model \"{}\". GET /v1/models (or `minerva models`) lists what there is.",
                             name.substr(0, 200)),
                 "model");
}

io::Task<Result<ModelId>> Service::resolve_for_request(std::string name) {
  const std::string fallback = config.default_model;
  if (name.empty() && fallback.empty()) {
    co_return fail(
        ErrorCode::kInvalidArgument,
        "The request names no model, and the server has no default_model. GET /v1/models lists what there is.",
        "model");
  }
  if (!name.empty()) {
    Result<ModelId> found = co_await resolve(std::move(name));
    if (found || fallback.empty() || config.unknown_model != "default") co_return found;
  }
  Result<ModelId> found = co_await resolve(fallback);
  if (found) co_return found;
  co_return fail(
      ErrorCode::kModelNotFound,
      fmt::format("The server's default_model \"{}\" is not there. GET /v1/models lists what there is.", fallback),
      "model");
}

std::string Service::progress(const ModelId& model) const {
  const Residency residency = host.context().residency(model, Clock::now());
  if (residency == Residency::kLoading) return fmt::format("loading {:.0f}%", 100 * host.load_progress(model));
  return residency == Residency::kWaking ? "waking" : "waiting";
}

}  // namespace minerva
