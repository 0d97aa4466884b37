#include "server/service.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "catalog/names.h"
#include "engine/process_state.h"

namespace minerva {

std::uint64_t Service::first_event_id() {
  const auto since_epoch = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_epoch).count());
}

api::Sample Service::sample() {
  const TimePoint now = Clock::now();
  const ContextManager& context = host.context();
  api::Sample sample;
  sample.time = std::chrono::system_clock::now();
  sample.budget = context.memory_budget();
  sample.used = context.reserved_memory();
  if (const auto& levels = memory_watch.memory().levels; !levels.empty() && levels.front().available) {
    const Bytes taken = levels.front().limit - std::min(levels.front().limit, *levels.front().available);
    const Bytes own = host.private_memory() + private_memory(::getpid()).value_or(Bytes());
    sample.others = taken - std::min(taken, own);
  }
  sample.waiting = context.queued();
  auto generated = activity.take_generated(Samples::kInterval);
  const double seconds = std::chrono::duration<double>(Samples::kInterval).count();
  // Looks at the models with engines only: the catalog may have very many models.
  for (ModelId& id : host.models_with_engines()) {
    const std::optional<ModelView> model = context.model(id, now);
    if (!model || !model->engine) continue;
    sample.running += model->leases;
    const double speed = generated[id] / seconds;
    sample.models.push_back({std::move(id), model->residency, model->memory, speed});
  }
  return sample;
}

void Service::follow_host() {
  host.on_step([this](const Event& event, const std::vector<Action>& actions) {
    if (const auto* const lease = std::get_if<LeaseRequested>(&event)) keep_alive.forget(lease->model);
    const std::uint64_t before = events.log().last_id() + statuses.log().last_id();
    events.take(event, actions, host.context(), Clock::now(), std::chrono::system_clock::now());
    statuses.take(event, host.context(), Clock::now());
    if (events.log().last_id() + statuses.log().last_id() != before) tell_watchers();
  });
  host.on_progress([this](const ModelId& model, double fraction) {
    events.take_progress(model, fraction, std::chrono::system_clock::now());
    statuses.take_progress(model, fraction);
    tell_watchers();
  });
}

pull::Downloads::Hooks Service::download_hooks() {
  pull::Downloads::Hooks hooks;
  hooks.settings = [this] {
    pull::FetchSettings fetching;
    fetching.hosts = config.pull_hosts;
    fetching.max_rate = config.pull_max_rate;
    fetching.stall_timeout = std::chrono::ceil<std::chrono::seconds>(config.pull_stall_timeout);
    fetching.parallel = config.pull_parallel;
    fetching.hub_cache = config.pull_folder;
    fetching.models_dir = config.models_dirs.front();
    fetching.budget = host.context().memory_budget();
    fetching.agent = "minerva/" MINERVA_VERSION;
    return fetching;
  };
  hooks.changed = [this](const pull::Job& job, bool is_progress) {
    std::optional<double> progress;
    if (is_progress) {
      const auto size = static_cast<double>(job.progress.size.count());
      progress = size > 0 ? static_cast<double>(job.progress.done.count()) / size : 0;
    }
    events.take_download(job.id, pull::job_json(job), progress, std::chrono::system_clock::now());
    statuses.take_download({.id = job.id,
                            .model = job.name,
                            .file = job.progress.file,
                            .done = job.progress.done.count(),
                            .size = job.progress.size.count(),
                            .ended = job.ended(),
                            .succeeded = job.state == pull::JobState::kDone});
    tell_watchers();
  };
  hooks.fetched = [this](const std::string& id, const pull::Fetched& fetched) {
    loop.spawn(take_fetched(id, fetched));
  };
  return hooks;
}

io::Task<void> Service::take_fetched(std::string download, pull::Fetched fetched) {
  co_await catalog_watch.refresh();
  const ModelId name = name_of(fetched);
  std::string reason;
  std::string deed;
  if (name.empty()) {
    // The catalog's problem names the file in its snapshot folder.
    const auto is_about = [&](const std::string& problem) {
      return problem.find("/" + fetched.file) != std::string::npos;
    };
    const auto& problems = catalog.problems();
    const auto about = std::find_if(problems.begin(), problems.end(), is_about);
    reason = about != problems.end() ? *about : "GET /v1/models does not list it";
  } else if (const auto inspected = co_await inspect(name);
             !inspected && inspected.error().code == ErrorCode::kInvalidModel) {
    reason = inspected.error().message;
    deed = fmt::format(" `minerva rm {}` removes it.", name);
  }
  // If the file could not be inspected now, as the engine is missing, the first request will report that.
  if (reason.empty()) co_return downloads.settle(download, name);
  while (reason.ends_with('.')) reason.pop_back();
  downloads.settle(
      download, name,
      Error{ErrorCode::kInvalidModel,
            fmt::format("{} was pulled, but cannot be served: {}.{}", name.empty() ? fetched.file : name, reason, deed),
            "model"});
}

ModelId Service::name_of(const pull::Fetched& fetched) const {
  for (const ModelSpec* const spec : catalog.list()) {
    if (spec->repo == fetched.repo && spec->place.ends_with("/" + fetched.file)) return spec->id;
  }
  return {};
}

void Service::tell_watchers() {
  for (io::Signal* const watcher : watchers) watcher->notify();
}

void Service::plan_schedules() { timetable.set(config.zone, config.max_wait + config.load_timeout, catalog.list()); }

void Service::catalog_changed() {
  plan_schedules();
  background_inspection.look();
}

const api::Preset* Service::find_preset(std::string_view name) const {
  if (config.presets.empty()) return nullptr;
  const api::Preset* found = api::find_preset(config.presets, name);
  if (found != nullptr || catalog.find(name) != nullptr) return found;
  for (const std::string& reading : other_readings(name)) {
    if (found = api::find_preset(config.presets, reading); found != nullptr) return found;
  }
  // Ignores case, if exactly one preset matches and no model does.
  if (catalog.look_up(name) != nullptr) return nullptr;
  const std::string small = lower_case(name);
  for (const api::Preset& preset : config.presets) {
    const auto is_it = [&](const ModelId& id) { return lower_case(id) == small; };
    if (!is_it(preset.id) && std::none_of(preset.aliases.begin(), preset.aliases.end(), is_it)) continue;
    if (found != nullptr) return nullptr;
    found = &preset;
  }
  return found;
}

io::Task<Result<ModelId>> Service::resolve(std::string name) {
  if (name.empty()) {
    co_return fail(ErrorCode::kInvalidArgument,
                   "The request names no model. Add \"model\" (GET /v1/models lists what there is).", "model");
  }
  std::string why = name == config.default_model ? "The config's default_model is not there. " : "";
  if (const api::Preset* const found = find_preset(name)) {
    why = fmt::format("The preset \"{}\" has no model. ", found->id);
    name = found->model;
  }
  if (const ModelSpec* spec = catalog.look_up(name)) {
    co_await catalog_watch.check_files(spec->id);
  } else {
    co_await catalog_watch.refresh_if_changed();
  }
  if (const ModelSpec* spec = catalog.look_up(name)) co_return spec->id;
  co_return fail(ErrorCode::kModelNotFound,
                 fmt::format("{}There is no model \"{}\". GET /v1/models (or `minerva models`) lists what there is.",
                             why, name.substr(0, 200)),
                 "model");
}

io::Task<std::string> Service::name_for_request(std::string name) {
  if (config.default_model.empty()) co_return name;
  if (name.empty()) co_return config.default_model;
  const auto known = [&] { return find_preset(name) != nullptr || catalog.look_up(name) != nullptr; };
  if (config.unknown_model != "default" || known()) co_return name;
  co_await catalog_watch.refresh_if_changed();
  co_return known() ? name : config.default_model;
}

io::Task<std::optional<Result<ModelId>>> Service::resolve_until(std::string name, TimePoint deadline) {
  struct Reply {
    explicit Reply(io::Loop& loop) : answered(loop) {}
    io::Signal answered;
    std::optional<Result<ModelId>> answer;
  };
  // Shared, since the answer may come when nobody waits any more.
  const auto reply = std::make_shared<Reply>(loop);
  const auto ask = [](Service& service, std::shared_ptr<Reply> question, std::string model) -> io::Task<void> {
    question->answer = co_await service.resolve(std::move(model));
    question->answered.notify();
  };
  loop.spawn(ask(*this, reply, std::move(name)));
  if (!reply->answer) co_await reply->answered.wait_until(deadline);
  co_return std::move(reply->answer);
}

std::shared_ptr<Service::Inspection> Service::begin_inspection(const ModelId& model) {
  const auto inspection = std::make_shared<Inspection>(loop);
  host.inspect(model, [inspection](Result<FittedModel> result) {
    inspection->answer = std::move(result);
    inspection->woken.notify();
  });
  return inspection;
}

io::Task<Result<FittedModel>> Service::inspect(ModelId id) {
  const auto inspection = begin_inspection(id);
  while (!inspection->answer) co_await inspection->woken.wait();
  co_return *std::move(inspection->answer);
}

ModelId Service::default_for(std::string_view path) const {
  for (const ModelEntry& entry : config.models) {
    for (const std::string& prefix : entry.default_for) {
      if (path == prefix || (path.starts_with(prefix) && path[prefix.size()] == '/')) return entry.id;
    }
  }
  return {};
}

void Service::engine_gone(EngineId engine) {
  pool.forget(engine);
  for (io::Signal* const watcher : engine_end_watchers) watcher->notify();
}

std::vector<ModelId> Service::names_of(const ModelId& model) const {
  std::vector<ModelId> names;
  if (find_preset(model) == nullptr) names.push_back(model);
  for (const api::Preset& preset : config.presets) {
    const ModelSpec* const spec = catalog.look_up(preset.model);
    if (spec != nullptr && spec->id == model) names.push_back(preset.id);
  }
  return names;
}

std::string Service::progress(const ModelId& model) const {
  const Residency residency = host.context().residency(model, Clock::now());
  if (residency == Residency::kLoading) return fmt::format("loading {:.0f}%", 100 * host.load_progress(model));
  return residency == Residency::kWaking ? "waking" : "waiting";
}

}  // namespace minerva
