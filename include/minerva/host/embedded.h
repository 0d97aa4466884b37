// EmbeddedModels: Minerva inside a program of your own, without a server. Loads, switches and asks models by blocking
// calls; underneath are the same ContextManager, catalog and engines that `minerva serve` has.
//
// Threading: any thread may call, several at once. Ownership: destroying it ends every engine.
// It listens on nothing.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"
#include "minerva/cache/cache_stats.h"

namespace minerva {

class EmbeddedModels {
 public:
  struct Options {
    std::string engine;                    // path of minerva-engine
    std::vector<std::string> models_dirs;  // model files must be inside one of these
    std::size_t max_models = 0;            // 0: bounded by memory only
    Bytes memory_budget = Bytes(UINT64_MAX);
    std::string policy = "lru";
    Duration max_wait = std::chrono::minutes(5);  // for a model's turn
  };
  // Errors: kInvalidArgument (policy), kIo.
  static Result<std::unique_ptr<EmbeddedModels>> open(Options options);
  ~EmbeddedModels();

  // Makes it resident, evicting others by the policy if there is no room. Returns what was evicted.
  // Errors: kModelNotFound, kInvalidModel, kBudgetExceeded, kConflict, kEngineCrashed, kEngineTimeout.
  Result<std::vector<ModelId>> load_model(const ModelId& id, const std::string& path);
  // The same, without counting it as used.
  Result<std::vector<ModelId>> preload_model(const ModelId& id, const std::string& path);
  // Waits for running requests. Errors: kModelNotFound, kConflict.
  Result<void> unload_model(const ModelId& id);

  // Sends `body` (JSON) to the model's engine, e.g. to "/v1/chat/completions", loading the model first if it must.
  // Returns the answer's body. Errors: as load_model; what the engine refuses is kInvalidArgument with its words.
  Result<std::string> ask(const ModelId& id, std::string_view route, std::string_view body);

  std::vector<ModelId> loaded_models() const;
  CacheStats cache_stats() const;
  std::uint64_t estimated_memory_mb() const;  // MiB
  bool has_memory_pressure() const;

 private:
  class Impl;
  explicit EmbeddedModels(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace minerva
