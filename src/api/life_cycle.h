// The life-cycle and listing answers (load, preload, park, unload, pin, stats, models) as JSON, and the body of a load.
//
// Plain functions over plain values; any thread. Text that is no UTF-8 is replaced, sizes in `_mb` are MiB, rounded.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/concession.h"
#include "minerva/base/bytes.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"
#include "minerva/cache/cache_stats.h"
#include "minerva/context/types.h"

namespace minerva::api {

struct LoadBody {
  std::optional<std::string> model_path;  // not empty
};

// The body of load and preload for the model `path_id`; it may be empty. Unknown fields are ignored.
// Errors: kInvalidArgument with the field at fault, also when its model_id is not `path_id`.
Result<LoadBody> parse_load_body(std::string_view body, const ModelId& path_id);

// What load, preload, park, unload, pin and unpin answer.
struct LifeCycleAnswer {
  std::string message;  // "loaded", "woken", "already loaded", ...
  ModelId model;
  Residency state = Residency::kCold;
  Duration load_time{};          // of the call, 0 if nothing changed
  std::vector<ModelId> evicted;  // parked or stopped, to make room
  Bytes memory;                  // what the model holds now, 0 if it is not resident
  std::vector<Concession> gave_way = {};
};
std::string life_cycle_json(const LifeCycleAnswer& answer);

// What ?dry_run=true answers.
struct PlanAnswer {
  ModelId model;
  Residency state = Residency::kCold;
  LoadPlan plan;
  std::vector<Concession> gave_way = {};  // what would give way
};
std::string plan_json(const PlanAnswer& answer);

// What GET /v1/models/stats answers.
struct StatsAnswer {
  std::vector<ModelId> loaded;    // hot
  std::vector<ModelView> models;  // all; those that are cold are left out
  std::map<ModelId, std::vector<Concession>> gave_way = {};
  CacheStats cache;
  std::string policy;
  Bytes memory_budget;
  Bytes reserved_memory;
  bool memory_pressure = false;
};
std::string stats_json(const StatsAnswer& stats);

// What POST /v1/cache/clear answers.
struct ClearAnswer {
  bool stats = false;
  bool history = false;
  bool images = false;
  bool metadata = false;
  std::vector<ModelId> stopped = {};  // so that their images go
};
// "statistics, history; stopped a"
std::string cleared_text(const ClearAnswer& answer);
std::string clear_json(const ClearAnswer& answer);

// How llama.cpp's router says how a model is.
struct RouterStatus {
  std::string_view value;             // "loaded", "sleeping", "loading", "unloaded"
  std::optional<int> exit_code = {};  // it failed
};

// One model of the catalog, in OpenAI's shape with Minerva's fields added.
struct ModelAnswer {
  ModelId id;
  std::int64_t created = 0;  // seconds since 1970
  Residency state = Residency::kCold;
  Bytes size;
  std::optional<std::uint64_t> parameters;
  std::string quantization;  // empty: not known yet
  std::optional<unsigned> context_length;
  std::vector<ModelId> aliases;
  std::optional<double> progress;  // of a load under way, 0 to 1
  std::optional<Error> failure;    // the last one, if it was not forgiven since
  std::vector<Concession> gave_way = {};
  std::string next_preload = {};  // ISO 8601, by its schedule; empty: none
  std::string next_unload = {};
  RouterStatus status = {"unloaded"};
  std::string name = {};                           // its file's stem; empty: it has no file
  std::string architecture = {};                   // empty: not known yet
  std::vector<std::string> input_modalities = {};  // the same: then it is text
  std::vector<std::string> companions = {};        // names of files that go with it
  std::optional<bool> runs_here = {};              // unset: not known yet
  std::string why_not = {};                        // of one that does not
  ModelId preset_of = {};                          // the model that it is a preset of; empty: it is a model
};
std::string model_json(const ModelAnswer& model);
// `problems`: what is wrong with the models folders, in sentences.
std::string models_json(const std::vector<ModelAnswer>& models, const std::vector<std::string>& problems);

}  // namespace minerva::api
