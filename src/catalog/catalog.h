// Catalog: which models exist, by id and alias. Scans the models folders, applies the config's entries, enforces the
// path rule, and keeps what inspecting a model said and what its engines held (in memory and on disk).
//
// Threading: the loop's thread; scan() alone touches no member and may run on another one. A model's files are looked
// at on another thread: a disk that does not answer holds up those who ask about this model only. It does not decide
// what is loaded.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "catalog/file_book.h"
#include "engine/engine.h"
#include "engine/model_spec.h"
#include "minerva/base/result.h"

namespace minerva {

// The config's entry of one model: what it sets on top of what the scan found.
struct ModelEntry {
  ModelId id;
  std::string path = {};     // relative to a models folder or absolute inside one; empty: found by its id
  CommandSpec command = {};  // without a path then, and without context, parallel, weights and args
  std::vector<ModelId> aliases = {};
  std::vector<std::string> default_for = {};  // paths, with all below them, whose requests name no model
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

  bool operator==(const ModelEntry&) const = default;
};

struct CatalogOptions {
  std::vector<std::string> models_dirs;  // absolute
  std::vector<ModelEntry> entries;
  std::string cache_dir;  // metadata.json and names.json live here; empty: nothing on disk
  // Nobody named the folders: they are where models are on most machines.
  bool folders_may_be_missing = false;
  bool fit = true;     // of models whose entry does not say it
  FileBook book = {};  // what earlier scans left to remember
};

struct ScanResult {
  std::vector<ModelSpec> models;  // by id
  // In sentences: a file that is no model, an unreadable folder, an entry without a file.
  std::vector<std::string> problems;
  // Files that are no models by their names, into which nobody has looked; each as if it were a model.
  std::vector<ModelSpec> unsure;
  FileBook book;                     // for the next scan
  std::vector<std::string> folders;  // that were read: where models may appear
};

// A model as it would run.
struct FittedModel {
  ModelMetadata metadata;  // with the reduction
  Reduction reduction;     // what gives way so that it fits
};

class Catalog {
 public:
  // `loop`: beside which the metadata is written and files are looked at; without one both are done at once, inside.
  // The loop outlives the catalog.
  Catalog(CatalogOptions options, EngineDriver& driver, io::Loop* loop = nullptr);
  ~Catalog();

  // Reads the folders and two levels of folders in them. Blocks: call it where that is fine. A model is called by its
  // file's stem, the shard suffix dropped, wherever it lies, or by what comes nearest to it (docs/adr/0019-names.md);
  // in the Hugging Face cache "org/repo:QUANT". Of two that would be called the same, one is called by its folder too,
  // and which one is as the book says. Files that go with a model belong to the one beside them, or to the one whose
  // name they share. An entry with a path renames the file. Symlinks are followed, also out of the folder: they are the
  // operator's.
  static ScanResult scan(const CatalogOptions& options);

  const CatalogOptions& options() const;
  // Counts from the next scan on. The cache folder stays what it was.
  void set_options(std::vector<std::string> models_dirs, bool folders_may_be_missing, std::vector<ModelEntry> entries,
                   bool fit);
  // The memory that models may take in all: "org/repo" is the best of that repository that fits into it.
  void set_room(Bytes room);

  struct Changes {
    std::vector<ModelSpec> added_or_changed;
    std::vector<ModelId> removed;
  };
  // Takes a scan's result; models added by path stay as long as their file does.
  Changes apply(ScanResult result);

  // By id or alias; nullptr if unknown. Valid until the next apply(), add_path() or drop_path().
  const ModelSpec* find(std::string_view id_or_alias) const;
  // What a client means: by id or alias; else by the same without ":latest", "hf.co/" or ".gguf"; else without regard
  // to case, if one model only is meant, or by its repository ("org/repo"). nullptr if unknown. Valid as find().
  const ModelSpec* look_up(std::string_view name) const;
  // Every model, by id.
  std::vector<const ModelSpec*> list() const;
  // What the last scan found wrong, in sentences.
  const std::vector<std::string>& problems() const;

  // Makes `id` name the file `path` (absolute or relative to a models folder): the body of POST .../load.
  // Errors: kModelNotFound when the path is missing, not a regular file, unreadable or outside every models folder
  // after resolving symlinks (one message for all); kConflict when `id` already names another file;
  // kInvalidArgument when it cannot be a name; kInvalidModel when a part of the model is missing; kConflict also when
  // the file has as many names as a file may have.
  // `for_now`: only to look at it; the name is gone once each such call was followed by drop_path(), unless it was
  // added to stay meanwhile.
  Result<const ModelSpec*> add_path(const ModelId& id, std::string_view path, bool for_now = false);
  // True if the name is gone now. No effect on what was not added for now.
  bool drop_path(const ModelId& id);

  // Takes the model's files as they are now. `done`, which may be called inside, is told whether they are others than
  // were known, so that an engine it has is outdated; false also if they are gone.
  void look_again(const ModelId& id, std::function<void(bool replaced)> done);

  // What inspecting said: from the cache while the files, the arguments and the engine are the same (files are asked
  // for anew each time), else by the driver. Several calls for one model share one inspection. `done` may be called
  // inside, when the answer is there already.
  // A model that takes more than `room` is inspected with what may give way reduced (fit.h). Where no reduction fits,
  // the answer is about the one that takes least, and has no reduction. Errors: as EngineDriver::inspect. kInvalidModel
  // is kept as long as the catalog lives, others are tried anew.
  void inspect(const ModelId& id, Bytes room, std::function<void(Result<FittedModel>)> done);
  // The reduction that inspect() would find, from what is known already; nothing while that is not enough.
  std::optional<Reduction> known_fit(const ModelSpec& spec, Bytes room) const;
  // Inspects a model that nobody asks for, with the context it is to have, only for list() to say more: at idle
  // priority, and given up (kCancelled) when somebody does ask for something. `done` as above.
  void inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done);
  // Models and files that go with one whose inspection would tell something new, in the order of their ids.
  std::vector<ModelSpec> unknown() const;
  // Why a model cannot be run, as inspecting it said; nullptr if nothing is known against it. Valid as metadata().
  const Error* invalid(const ModelSpec& spec) const;
  // Called when a file turned out to be something else than it was taken for: a scan is due.
  void on_surprise(std::function<void()> fn);
  // If already known; nullptr otherwise. Valid until the next inspect() or note.
  const ModelMetadata* metadata(const ModelSpec& spec) const;

  // What is known of an engine that is started with this spec now is kept by this key: the files, the arguments, the
  // engine's build.
  std::string key(const ModelSpec& spec) const;
  // What an engine whose key that was held at most, serving; and what was left of it when it was parked. They take the
  // place of what was predicted and of what was left last time. No effect for a key that is not known any more.
  void note_measured(const std::string& key, Bytes footprint);
  void note_residue(const std::string& key, Bytes residue);
  // How long it took until it could serve, started or woken: averaged with what it took before.
  void note_load_time(const std::string& key, Duration took);
  void note_wake_time(const std::string& key, Duration took);

  // What inspecting and measuring said is forgotten, on disk too.
  void forget_metadata();
  // It is on disk when it returns. Blocks.
  void finish();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace minerva
