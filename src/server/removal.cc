#include "server/removal.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/log.h"
#include "catalog/names.h"
#include "io/beside.h"
#include "server/access.h"
#include "server/waiting.h"

namespace minerva {
namespace {

// Refuses a name that is not clear: a request to "org/repo" means the best of several models, but a removal must name
// one.
std::optional<Error> refuse_unclear(const Service& service, const std::string& name, const ModelSpec& spec) {
  if (const api::Preset* const preset = service.find_preset(name)) {
    return Error{ErrorCode::kConflict,
                 fmt::format("\"{}\" is a preset of the config: remove it there, or name its model, \"{}\".",
                             preset->id, preset->model)};
  }
  if (spec.repo.empty()) return std::nullopt;
  std::vector<std::string> readings = other_readings(name);
  readings.push_back(name);
  for (const std::string& reading : readings) {
    const auto is_it = [small = lower_case(reading)](const ModelId& id) { return lower_case(id) == small; };
    if (is_it(spec.id) || std::any_of(spec.aliases.begin(), spec.aliases.end(), is_it)) return std::nullopt;
  }
  const auto models = service.catalog.list();
  const auto count = std::count_if(models.begin(), models.end(), [&](const auto* m) { return m->repo == spec.repo; });
  if (count < 2) return std::nullopt;
  return Error{ErrorCode::kConflict,
               fmt::format("{} models of {} are here: name one of them, as \"{}\".", count, spec.repo, spec.id)};
}

io::Task<Result<pull::Removal>> plan(Service& service, ModelId id) {
  const ModelSpec* const found = service.catalog.find(id);
  if (found == nullptr) co_return fail(ErrorCode::kModelNotFound, fmt::format("\"{}\" is not there any more.", id));
  std::vector<ModelSpec> all;
  for (const ModelSpec* const spec : service.catalog.list()) all.push_back(*spec);
  co_return co_await io::beside<Result<pull::Removal>>(
      service.loop, io::Lane::kAwaited, [spec = *found, all = std::move(all), folders = service.config.models_dirs] {
        return pull::plan_removal(spec, all, folders);
      });
}

// Moves the model out of memory: when this returns, the model has no engine.
io::Task<Result<void>> leave(Service& service, Exchange& x, bool force) {
  const auto view = service.host.context().model(x.model, Clock::now());
  const std::size_t requests = view ? view->leases + view->waiting : 0;
  if (requests > 0 && !force) {
    co_return fail(ErrorCode::kConflict, fmt::format("\"{}\" is in use ({} requests): wait, or force it. Nothing was "
                                                     "removed.",
                                                     x.model, requests));
  }
  Waiting waiting(service.loop);
  const RequestId request =
      service.host.unload(x.model, force, x.arrived + service.config.unload_timeout, waiting.callback());
  const Result<Done> done = co_await wait_for_answer(service.host, x.connection, waiting, request);
  if (!done) co_return fail(done.error());
  co_return Result<void>{};
}

// DELETE /v1/models/{id}/files
io::Task<void> remove_files(Service& service, Exchange& x, ModelId id) {
  const Result<std::string> body = co_await x.body(kMaxSmallBody);
  if (!body) co_return co_await x.error(body.error());
  const Result<bool> force = x.query.flag("force", false);
  const Result<bool> dry_run = x.query.flag("dry_run", false);
  for (const Result<bool>* flag : {&force, &dry_run}) {
    if (!*flag) co_return co_await x.error(flag->error());
  }
  const auto removal = co_await remove_model(service, x, {.name = id, .force = *force, .dry_run = *dry_run});
  if (!removal) co_return co_await x.error(removal.error());
  co_await x.json(200, pull::removal_json(x.model, *removal, !*dry_run));
}

}  // namespace

io::Task<Result<pull::Removal>> remove_model(Service& service, Exchange& x, RemovalAsked asked) {
  if (const auto refused = refuse_unless_admin(service.config, x.caller, "remove models")) co_return fail(*refused);
  const Result<ModelId> model = co_await service.resolve(asked.name);
  if (!model) co_return fail(model.error());
  const ModelSpec* const spec = service.catalog.find(*model);
  if (spec == nullptr) co_return fail(ErrorCode::kModelNotFound, fmt::format("There is no model \"{}\".", asked.name));
  if (const auto refused = refuse_unclear(service, asked.name, *spec)) co_return fail(*refused);
  x.model = *model;
  const std::string repo = spec->repo;
  Result<pull::Removal> removal = co_await plan(service, x.model);
  if (!removal || asked.dry_run) co_return removal;
  if (const auto left = co_await leave(service, x, asked.force); !left) co_return fail(left.error());
  if (!repo.empty() && service.downloads.fetches_of(repo)) {
    co_return fail(ErrorCode::kConflict,
                   fmt::format("Files of {} are being fetched (GET /v1/downloads): wait, or cancel "
                               "that. Nothing was removed.",
                               repo));
  }
  const auto removed = co_await io::beside<Result<void>>(service.loop, io::Lane::kDisk,
                                                         [victims = *removal] { return pull::carry_out(victims); });
  co_await service.catalog_watch.refresh();
  if (!removed) co_return fail(removed.error());
  service.conversations.clear(x.model, "");
  log::info("{} is removed: {} are free", x.model, format_bytes(removal->frees));
  co_return removal;
}

void add_removal_routes(std::vector<Route>& table) {
  table.push_back({"DELETE", "/v1/models/{id}/files", "remove it from the disk; ?dry_run=true: what that would free",
                   remove_files});
}

}  // namespace minerva
