// Service: what the handlers share. Made by serve(), one per process.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "api/event_feed.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "host/background_inspection.h"
#include "host/memory_watch.h"
#include "host/model_host.h"
#include "host/timetable.h"
#include "io/loop.h"
#include "pull/downloads.h"
#include "router_api/status_feed.h"
#include "server/activity.h"
#include "server/catalog_watch.h"
#include "server/engine_pool.h"
#include "server/keep_alive.h"
#include "server/samples.h"
#include "server/sessions.h"
#include "server/web_ui.h"

namespace minerva {

struct Service {
  Service(io::Loop& event_loop, const Config& settings, Catalog& models, ModelHost& model_host)
      : loop(event_loop),
        config(settings),
        catalog(models),
        host(model_host),
        timetable(event_loop, model_host),
        background_inspection(event_loop, models, [this] { return !draining && host.nobody_waits(); }),
        catalog_watch(event_loop, models, model_host, [this] { catalog_changed(); }),
        memory_watch(event_loop, settings.min_free_memory,
                     [&model_host](const PressureChanged& event) { model_host.set_pressure(event); }),
        keep_alive(event_loop, model_host),
        pool(event_loop),
        events(first_event_id()),
        statuses([this](const ModelId& model) { return names_of(model); }),
        web_ui(settings.ui_dir),
        downloads(event_loop, settings.state_dir + "/downloads.json", download_hooks()),
        samples(event_loop, [this] { return sample(); }) {
    follow_host();
  }

  io::Loop& loop;
  const Config& config;  // as of the last reload: keep no reference to a part of it while waiting
  Catalog& catalog;
  ModelHost& host;
  Timetable timetable;
  BackgroundInspection background_inspection;
  CatalogWatch catalog_watch;
  MemoryWatch memory_watch;
  KeepAlive keep_alive;
  EnginePool pool;
  api::EventFeed events;
  router_api::StatusFeed statuses;
  std::set<io::Signal*> watchers;  // notified of each event of both
  const WebUi web_ui;
  pull::Downloads downloads;
  Sessions sessions;
  Activity activity;
  Samples samples;
  std::set<io::Signal*> engine_end_watchers;    // notified of each engine's end
  std::map<UserId, std::uint32_t> key_numbers;  // of keys that were shown, in that order: as many as there are keys
  bool draining = false;
  std::uint64_t queued_bytes = 0;        // of request bodies held in memory
  std::map<int, std::uint64_t> answers;  // by status
  std::size_t connections = 0;
  std::uint64_t refused_connections = 0;  // closed unanswered, over a limit
  TimePoint started = Clock::now();

  // Wakes the watchers, after something was put into `events`.
  void tell_watchers();
  // Takes the schedules of the catalog's models, by the config's time zone.
  void plan_schedules();
  // By id or alias, as the config is now, or by what else a client may mean (names.h), if no model is called exactly
  // so. nullptr if there is none. Valid until something waits.
  const api::Preset* find_preset(std::string_view name) const;
  // As Catalog::look_up(), as the models folders are now; of a preset the model that it is of. Errors: kModelNotFound,
  // kInvalidArgument for no name, with what to do.
  io::Task<Result<ModelId>> resolve(std::string name);
  // What a request is about that asks for `name`: default_model where it names none ("") or, if the config says so, one
  // that there is not.
  io::Task<std::string> name_for_request(std::string name);
  // As resolve(); nothing if that is not known by `deadline`, as the disk does not answer.
  io::Task<std::optional<Result<ModelId>>> resolve_until(std::string name, TimePoint deadline);
  // An inspection that somebody waits for. Shared, as it may end when nobody does any more.
  struct Inspection {
    explicit Inspection(io::Loop& loop) : woken(loop) {}
    io::Signal woken;
    std::optional<Result<FittedModel>> answer;
  };
  // Has the model inspected, if it is not known what that says (ModelHost::metadata).
  std::shared_ptr<Inspection> begin_inspection(const ModelId& model);
  // What inspecting it says, though it takes a while. Errors: as ModelHost::inspect.
  io::Task<Result<FittedModel>> inspect(ModelId id);
  // The model that requests for `path` go to if they name none; empty if there is none.
  ModelId default_for(std::string_view path) const;
  // An engine's process is gone: nobody connects to it any more.
  void engine_gone(EngineId engine);
  // The names that GET /v1/models has for a model: its id, unless a preset is called so, and its presets.
  std::vector<ModelId> names_of(const ModelId& model) const;
  // What a stream that waits for a model is told meanwhile: "loading 42%", "waking" or "waiting".
  std::string progress(const ModelId& model) const;

 private:
  // A scan was taken in.
  void catalog_changed();
  // Beyond all that an earlier life gave away.
  static std::uint64_t first_event_id();
  pull::Downloads::Hooks download_hooks();
  // A pull's files are in their places: the catalog is read again, and says what the model is called and whether it can
  // be served.
  io::Task<void> take_fetched(std::string download, pull::Fetched fetched);
  // What the catalog calls it; empty: it lists no such model.
  ModelId name_of(const pull::Fetched& fetched) const;
  // How it is now.
  api::Sample sample();
  // Everything that it does goes into `events`.
  void follow_host();
};

}  // namespace minerva
