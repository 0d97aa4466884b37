#include "server/service.h"

#include <fmt/format.h>

namespace minerva {

void Service::plan_schedules() { timetable.set(config.zone, config.max_wait + config.load_timeout, catalog.list()); }

io::Task<Result<ModelId>> Service::resolve(std::string name) {
  if (const ModelSpec* spec = catalog.find(name)) {
    co_await catalog_watch.check_files(spec->id);
  } else {
    co_await catalog_watch.refresh_if_changed();
  }
  if (const ModelSpec* spec = catalog.find(name)) co_return spec->id;
  co_return fail(ErrorCode::kModelNotFound,
                 fmt::format("There is no model \"{}\". GET /v1/models (or `minerva models`) lists what there is.",
                             name.substr(0, 200)),
                 "model");
}

std::string Service::progress(const ModelId& model) const {
  const Residency residency = host.context().residency(model, Clock::now());
  if (residency == Residency::kLoading) return fmt::format("loading {:.0f}%", 100 * host.load_progress(model));
  return residency == Residency::kWaking ? "waking" : "waiting";
}

}  // namespace minerva
