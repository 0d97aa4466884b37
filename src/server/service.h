// Service: what the handlers share. serve() makes one per process. The loop's thread.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "api/event_feed.h"
#include "catalog/catalog.h"
#include "config/config.h"
#include "engine/devices.h"
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
#include "server/kept_conversations.h"
#include "server/samples.h"
#include "server/sessions.h"
#include "server/web_ui.h"

namespace minerva {

struct Service {
  Service(io::Loop& event_loop, const Config& settings, Catalog& models, ModelHost& model_host,
          conversations::Store& kept, Devices seen = {})
      : loop(event_loop),
        config(settings),
        catalog(models),
        host(model_host),
        devices(std::move(seen)),
        conversations(settings, kept, model_host),
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
  const Config& config;  // as of the last reload: keep no reference to a part of it across a wait
  Catalog& catalog;
  ModelHost& host;
  const Devices devices;  // that engines see, as of the start
  KeptConversations conversations;
  Timetable timetable;
  BackgroundInspection background_inspection;
  CatalogWatch catalog_watch;
  MemoryWatch memory_watch;
  KeepAlive keep_alive;
  EnginePool pool;
  api::EventFeed events;
  router_api::StatusFeed statuses;
  std::set<io::Signal*> watchers;  // notified of each event of `events` and `statuses`
  const WebUi web_ui;
  pull::Downloads downloads;
  Sessions sessions;
  Activity activity;
  Samples samples;
  std::set<io::Signal*> engine_end_watchers;  // notified when an engine's process ends
  // keys that were shown, numbered in that order: at most as many as there are keys
  std::map<UserId, std::uint32_t> key_numbers;
  bool draining = false;
  std::uint64_t queued_bytes = 0;        // bytes of request bodies in memory
  std::map<int, std::uint64_t> answers;  // how many, by status
  std::size_t connections = 0;
  std::uint64_t refused_connections = 0;  // connections closed without an answer, over a limit
  TimePoint started = Clock::now();

  // Wakes the watchers. To be called after something was added to `events`.
  void tell_watchers();
  // Takes the schedules of the catalog's models into the timetable, in the config's time zone.
  void plan_schedules();
  // The preset with that id or alias, by the config now. If no model has exactly that name, also by what else a client
  // may mean (names.h). nullptr if there is none. Valid until the coroutine waits.
  const api::Preset* find_preset(std::string_view name) const;
  // Like Catalog::look_up(), with the models folders as they are now. The name of a preset gives the preset's model.
  // Errors: kModelNotFound, and kInvalidArgument for an empty name, both with what to do.
  io::Task<Result<ModelId>> resolve(std::string name);
  // The name that a request for `name` means: default_model if it names none ("") or, if the config says so, if there
  // is no such model.
  io::Task<std::string> name_for_request(std::string name);
  // Like resolve(); nothing if the answer is not known by `deadline`, as the disk does not answer.
  io::Task<std::optional<Result<ModelId>>> resolve_until(std::string name, TimePoint deadline);
  // An inspection that a request waits for. Shared, since it may end when nobody waits any more.
  struct Inspection {
    explicit Inspection(io::Loop& loop) : woken(loop) {}
    io::Signal woken;
    std::optional<Result<FittedModel>> answer;
  };
  // Begins to inspect the model, unless its metadata are known (ModelHost::metadata).
  std::shared_ptr<Inspection> begin_inspection(const ModelId& model);
  // Inspects the model and returns its metadata. This takes a while. Errors: as ModelHost::inspect.
  io::Task<Result<FittedModel>> inspect(ModelId id);
  // The model of requests for `path` that name none; empty if there is none.
  ModelId default_for(std::string_view path) const;
  // To be called when an engine's process has ended: nobody connects to it any more.
  void engine_gone(EngineId engine);
  // The names that GET /v1/models shows for a model: its id, unless a preset has that name, and its presets.
  std::vector<ModelId> names_of(const ModelId& model) const;
  // What a stream is told while it waits for a model: "loading 42%", "waking" or "waiting".
  std::string progress(const ModelId& model) const;

 private:
  // To be called after a scan was taken into the catalog.
  void catalog_changed();
  // A number beyond all that an earlier process gave to events.
  static std::uint64_t first_event_id();
  pull::Downloads::Hooks download_hooks();
  // The files of a pull are in their places. Reads the catalog again, and reports the model's name and whether it can
  // be served.
  io::Task<void> take_fetched(std::string download, pull::Fetched fetched);
  // The catalog's name for what was fetched; empty: the catalog lists no such model.
  ModelId name_of(const pull::Fetched& fetched) const;
  // Measures how the server is now.
  api::Sample sample();
  // Writes what the host does into `events`.
  void follow_host();
};

}  // namespace minerva
