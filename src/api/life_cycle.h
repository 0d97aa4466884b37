// The answers of the life cycle and of the lists (load, preload, park, unload, pin, stats, models) as JSON, and the
// body of a load.
//
// Plain functions over plain values; any thread. Text that is no UTF-8 is replaced. Sizes in `_mb` are MiB, rounded.
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

// Reads the body of a load or preload of the model `path_id`; it may be empty. Unknown fields are ignored.
// Errors: kInvalidArgument with the field at fault; also when the body's model_id is not `path_id`.
Result<LoadBody> parse_load_body(std::string_view body, const ModelId& path_id);

// The answer to load, preload, park, unload, pin and unpin.
struct LifeCycleAnswer {
  std::string message;  // "loaded", "woken", "already loaded", ...
  ModelId model;
  Residency state = Residency::kCold;
  Duration load_time{};          // how long the call took; 0 if nothing changed
  std::vector<ModelId> evicted;  // models that were parked or stopped to make room
  Bytes memory;                  // what the model holds now; 0 if it is not resident
  std::vector<Concession> gave_way = {};
};
std::string life_cycle_json(const LifeCycleAnswer& answer);

// The answer to ?dry_run=true.
struct PlanAnswer {
  ModelId model;
  Residency state = Residency::kCold;
  LoadPlan plan;
  std::vector<Concession> gave_way = {};  // what would give way
};
std::string plan_json(const PlanAnswer& answer);

// The answer to GET /v1/models/stats.
struct StatsAnswer {
  std::vector<ModelId> loaded;    // hot models
  std::vector<ModelView> models;  // all models; the cold ones are left out of the answer
  std::map<ModelId, std::vector<Concession>> gave_way = {};
  CacheStats cache;
  std::string policy;
  Bytes memory_budget;
  Bytes reserved_memory;
  std::vector<PoolView> pools = {};  // in the answer only if there are more than the host's
  bool memory_pressure = false;
};
std::string stats_json(const StatsAnswer& stats);

// The answer to POST /v1/cache/clear.
struct ClearAnswer {
  bool stats = false;
  bool history = false;
  bool images = false;
  bool conversations = false;
  bool metadata = false;
  std::vector<ModelId> stopped = {};  // models that were stopped so that their images go
};
// "statistics, history; stopped a"
std::string cleared_text(const ClearAnswer& answer);
std::string clear_json(const ClearAnswer& answer);

// A model's state in the words of llama.cpp's router.
struct RouterStatus {
  std::string_view value;             // "loaded", "sleeping", "loading", "unloaded"
  std::optional<int> exit_code = {};  // set if the model failed
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
  std::optional<Error> failure;    // the last failure, if no success has followed
  std::vector<Concession> gave_way = {};
  std::string next_preload = {};  // ISO 8601, by the model's schedule; empty: none
  std::string next_unload = {};
  RouterStatus status = {"unloaded"};
  std::string name = {};                           // the stem of its file's name; empty: it has no file
  std::string architecture = {};                   // empty: not known yet
  std::vector<std::string> input_modalities = {};  // empty: not known yet; the answer says text then
  std::vector<std::string> companions = {};        // names of the files that go with it
  std::optional<bool> runs_here = {};              // unset: not known yet
  std::string why_not = {};                        // why the model does not run here, if it does not
  ModelId preset_of = {};                          // the model of which this is a preset; empty: this is a model
};
std::string model_json(const ModelAnswer& model);
// `problems`: what is wrong with the models folders, in sentences.
std::string models_json(const std::vector<ModelAnswer>& models, const std::vector<std::string>& problems);

}  // namespace minerva::api
