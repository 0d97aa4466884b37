// Catalog: which models exist, by id and alias. It scans the models folders, applies the config's entries, enforces the
// path rule, and keeps the results of inspections and of measurements (in memory and on disk).
//
// Threading: the loop's thread. Only scan() touches no member, and may run on another thread. Another thread looks at a
// model's files, so that a disk that does not answer delays only requests for that model. It does not decide what is
// loaded.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/file_book.h"
#include "catalog/fit.h"
#include "catalog/placement.h"
#include "engine/engine.h"
#include "engine/model_spec.h"
#include "minerva/base/result.h"

namespace minerva {

// The config's entry for one model: it takes precedence over what the scan found.
struct ModelEntry {
  ModelId id;
  std::string path = {};     // relative to a models folder, or absolute inside one; empty: the file is found by the id
  CommandSpec command = {};  // excludes a path, and context, parallel, weights and args
  std::vector<ModelId> aliases = {};
  // requests for these paths, and all below them, that name no model go to this model
  std::vector<std::string> default_for = {};
  std::optional<bool> fit = {};
  std::optional<unsigned> context = {};
  std::optional<bool> context_may_shrink = {};
  std::optional<unsigned> parallel = {};
  std::optional<bool> pinned = {};
  std::optional<PreloadStrategy> preload = {};
  std::optional<CronSchedule> preload_at = {};  // of kScheduled
  std::optional<CronSchedule> unload_at = {};
  std::optional<Duration> ttl = {};
  std::optional<Duration> unload_ttl = {};
  std::optional<WeightsMode> weights = {};
  std::vector<std::string> args = {};
  std::optional<std::string> device = {};  // see ModelSpec::device
  std::optional<bool> keeps_pages = {};

  bool operator==(const ModelEntry&) const = default;
};

struct CatalogOptions {
  std::vector<std::string> models_dirs;  // absolute
  std::vector<ModelEntry> entries;
  std::string cache_dir;  // the folder for metadata.json and names.json; empty: nothing is kept on disk
  // The config names no folders: these are the default ones, which need not exist.
  bool folders_may_be_missing = false;
  bool fit = true;     // for models whose entry does not say it
  FileBook book = {};  // what earlier scans have learned
};

struct ScanResult {
  std::vector<ModelSpec> models;  // sorted by id
  // Sentences: a file that is no model, a folder that cannot be read, an entry without a file.
  std::vector<std::string> problems;
  // Files that are no models by their names, but that nobody has inspected; each in the form of a model.
  std::vector<ModelSpec> unsure;
  FileBook book;                     // for the next scan
  std::vector<std::string> folders;  // the folders that were read, where models may appear
};

class Catalog {
 public:
  // `loop`: other threads of it write the metadata and look at files; without a loop both happen inside the calls.
  // The loop outlives the catalog.
  Catalog(CatalogOptions options, EngineDriver& driver, io::Loop* loop = nullptr);
  ~Catalog();

  // Reads the folders, and two levels of folders inside them. Blocks. A model's id is the stem of its file's name
  // without the shard suffix, or what comes nearest to that (docs/adr/0019-names.md); in the Hugging Face cache it is
  // "org/repo:QUANT". If two models would have the same id, the id of one includes its folder; the book says which one.
  // Files that belong to a model belong to the model beside them, or to the one whose name they share. An entry with a
  // path renames the file. Symlinks are followed, also out of the folder, since the operator has made them.
  static ScanResult scan(const CatalogOptions& options);

  const CatalogOptions& options() const;
  // Takes effect at the next scan. The cache folder does not change.
  void set_options(std::vector<std::string> models_dirs, bool folders_may_be_missing, std::vector<ModelEntry> entries,
                   bool fit);
  // The memory that models may take in all: "org/repo" means the best model of that repository that fits.
  void set_room(Bytes room);

  struct Changes {
    std::vector<ModelSpec> added_or_changed;
    std::vector<ModelId> removed;
  };
  // Takes a scan's result. Models that were added by path stay as long as their files do.
  Changes apply(ScanResult result);

  // Finds by id or alias; nullptr if unknown. Valid until the next apply(), add_path() or drop_path().
  const ModelSpec* find(std::string_view id_or_alias) const;
  // Finds what a client means: by id or alias; else by the same without ":latest", "hf.co/" or ".gguf"; else without
  // regard to case, if only one model matches, or by its repository ("org/repo"). nullptr if unknown. Valid as for
  // find().
  const ModelSpec* look_up(std::string_view name) const;
  // All models, sorted by id.
  std::vector<const ModelSpec*> list() const;
  // The problems that the last scan found, in sentences.
  const std::vector<std::string>& problems() const;

  // Makes `id` name the file `path` (absolute, or relative to a models folder), as the body of POST .../load asks.
  // Errors: kModelNotFound when the path does not exist, is no regular file, cannot be read, or is outside every models
  // folder after symlinks are resolved (one message for all); kConflict when `id` already names another file;
  // kInvalidArgument when it cannot be a name; kInvalidModel when a part of the model is missing; kConflict also when
  // the file has as many names as a file may have.
  // `for_now`: the caller only looks at it. The name is gone once each such call was followed by drop_path(), unless it
  // was also added to stay.
  Result<const ModelSpec*> add_path(const ModelId& id, std::string_view path, bool for_now = false);
  // true: the name is gone now. No effect on a name that was not added for now.
  bool drop_path(const ModelId& id);

  // Looks at the model's files and takes what they are like now. `done` may be called inside. `replaced`: the files
  // differ from what was known, so an engine of the model is outdated; also false if the files are gone.
  void look_again(const ModelId& id, std::function<void(bool replaced)> done);

  // Inspects the model. The result comes from the cache while the files, the arguments and the engine are the same (it
  // looks at the files each time), else from the driver. Several calls for one model share one inspection. `done` may
  // be called inside, if the result is there already.
  // It is placed on devices if there are any (placement.h). A model that takes more than `room` is inspected with
  // reductions of what may give way (fit.h). If no reduction fits, the result is for the one that takes least, and has
  // no reduction. Errors: as EngineDriver::inspect. A kInvalidModel is kept as long as the catalog exists; after other
  // errors it tries again.
  void inspect(const ModelId& id, ModelRoom room, std::function<void(Result<FittedModel>)> done);
  // The reduction that inspect() would find, if what is known is enough for that; nothing otherwise.
  std::optional<Reduction> known_fit(const ModelSpec& spec, Bytes room) const;
  // Inspects a model that nobody asks for, with its full context, so that list() can say more: at idle priority. It is
  // given up (kCancelled) when somebody does ask for something. `done` as above.
  void inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done);
  // Models and companions whose inspection would bring something new, sorted by id.
  std::vector<ModelSpec> unknown() const;
  // Why the model cannot run, by its inspection; nullptr if nothing is known against it. Valid as for metadata().
  const Error* invalid(const ModelSpec& spec) const;
  // `fn` is called when a file turns out to be something else than it was taken for: a scan is due then.
  void on_surprise(std::function<void()> fn);
  // The metadata, if they are known; nullptr otherwise. Valid until the next inspect() or note.
  const ModelMetadata* metadata(const ModelSpec& spec) const;

  // The key under which the results about an engine with this spec are kept: the files, the arguments, and the engine's
  // build.
  std::string key(const ModelSpec& spec) const;
  // Notes the most that an engine with that key held while it served, and what was left of it when it was parked. These
  // replace the prediction, and the last value. No effect if the key is no longer known.
  void note_measured(const std::string& key, const Measurement& measured);
  void note_residue(const std::string& key, Bytes residue);
  // Notes how long an engine took until it could serve, after a start or a wake: averaged with earlier times.
  void note_load_time(const std::string& key, Duration took);
  void note_wake_time(const std::string& key, Duration took);

  // Forgets the results of inspections and measurements, on disk too.
  void forget_metadata();
  // Everything is on disk when this returns. Blocks.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minerva
