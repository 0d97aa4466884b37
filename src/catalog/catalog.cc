// Long because the catalog is one table, which each function here reads or changes.
#include "catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <optional>
#include <utility>

#include "base/log.h"
#include "catalog/fit.h"
#include "catalog/metadata_store.h"
#include "catalog/model_files.h"
#include "catalog/names.h"
#include "engine/engine_arguments.h"
#include "engine/inspection.h"

namespace minerva {
namespace {

constexpr Duration kNamesPeriod = std::chrono::seconds(2);
constexpr unsigned kMostNamesOfAFile = 16;
constexpr std::size_t kMostAddedByPath = 1000;

ModelSpec reduced(ModelSpec spec, const Reduction& reduction) {
  spec.reduction = reduction;
  return spec;
}

// Empty for the defaults, so that what is known about most models stays valid.
std::string reduction_key(const Reduction& reduction) {
  if (reduction == Reduction{}) return {};
  return fmt::format("\x1f{} {} {} {} {}", reduction.prompt_cache.value_or(Bytes()).count(),
                     reduction.checkpoints.value_or(0), reduction.mapped, reduction.parallel.value_or(0),
                     reduction.context.value_or(0));
}

// Empty for the host, for the same reason.
std::string placement_key(const Placement& placement) {
  if (placement == Placement{}) return {};
  return fmt::format(
      "\x1f"
      "on {} {} {}",
      fmt::join(placement.devices, ","), fmt::join(placement.split, ","),
      placement.layers ? fmt::to_string(*placement.layers) : "all");
}

// Everything that an inspection's result depends on. Unit separators keep lists apart from their neighbours.
std::string inspection_key(const ModelSpec& spec, const std::string& fingerprint) {
  // Only the config says how much memory a command takes.
  if (!spec.command.argv.empty()) return fmt::format("command\x1f{}\x1f{}", spec.id, spec.command.memory.count());
  return fmt::format("{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{}{}{}", spec.path, spec.mmproj, spec.identity,
                     spec.context.value_or(0), spec.parallel.value_or(kDefaultParallel), static_cast<int>(spec.weights),
                     fmt::join(spec.args, "\x1e"), fingerprint, reduction_key(spec.reduction),
                     placement_key(spec.placement));
}

Error unknown_model(const ModelId& id) {
  return {ErrorCode::kModelNotFound, fmt::format("there is no model \"{}\"", id)};
}

Error no_model(FileKind kind) {
  const std::string_view name = file_kind_name(kind);
  return {ErrorCode::kInvalidModel,
          fmt::format("The file is no model by itself: it says that it is {}{}. Ask for the model it goes with.",
                      kind == FileKind::kOther                                            ? "something "
                      : kind == FileKind::kAdapter || kind == FileKind::kImportanceMatrix ? "an "
                                                                                          : "a ",
                      kind == FileKind::kOther ? "else" : name)};
}

// Whether the figure has hardly changed, by less than one part in `parts`: then it is not worth writing the file again.
template <typename Amount>
bool differs(std::optional<Amount> known, Amount now, unsigned parts) {
  if (!known) return true;
  const Amount difference = now > *known ? now - *known : *known - now;
  return difference.count() > known->count() / parts;
}

bool note_size(std::optional<Bytes>& known, Bytes now) {
  constexpr unsigned kParts = 100;
  return differs(std::exchange(known, now), now, kParts);
}

// Load times vary more than footprints, and come more often.
bool note_time(std::optional<Duration>& known, Duration latest) {
  constexpr int kWeight = 3;
  constexpr unsigned kParts = 5;
  const Duration now = known ? *known + (latest - *known) / kWeight : latest;
  return differs(std::exchange(known, now), now, kParts);
}

}  // namespace

struct Catalog::Impl {
  struct Known {
    ModelSpec spec;
    bool by_path = false;  // added by add_path() without for_now
    unsigned for_now = 0;  // how many callers look at it for now
  };
  using Done = std::function<void(Result<ModelMetadata>)>;

  Impl(CatalogOptions catalog_options, EngineDriver& engine_driver, io::Loop* loop)
      : options(std::move(catalog_options)),
        driver(engine_driver),
        beside(loop),
        store(options.cache_dir.empty() ? "" : options.cache_dir + "/metadata.json", loop) {
    if (options.cache_dir.empty()) return;
    names_file.emplace(options.cache_dir + "/names.json", kFileBookFormat);
    options.book = read_file_book(*names_file);
    if (loop == nullptr) return;
    names_saver.emplace(*loop, *names_file, kNamesPeriod, [this] { return file_book_text(options.book); });
  }

  CatalogOptions options;
  EngineDriver& driver;
  io::Loop* beside;  // nullptr: files are looked at inside the call
  MetadataStore store;
  std::map<ModelId, Known, std::less<>> models;
  std::map<std::string, ModelId, std::less<>> aliases;
  // ids and aliases in lower case; "" if several models have the name
  std::map<std::string, ModelId, std::less<>> in_any_case;
  // the models of each repository, by its name in lower case
  std::map<std::string, std::vector<ModelId>, std::less<>> repos;
  std::vector<ModelSpec> unsure;
  std::vector<std::string> problems;
  Bytes room{UINT64_MAX};
  std::optional<io::StateFile> names_file;
  std::optional<io::StateSaver> names_saver;
  std::function<void()> surprised;
  std::vector<std::string> learned;  // places of files that were inspected since the last scan was taken
  std::map<std::string, std::vector<Done>> under_way;  // by key
  std::map<std::string, Error> invalid;                // by key
  // Shows to the driver's answers that outlive the catalog that it is gone.
  std::shared_ptr<bool> alive = std::make_shared<bool>(true);

  static constexpr std::size_t kMaxInvalid = 1000;

  Known* find(std::string_view name) {
    auto it = models.find(name);
    if (it == models.end()) {
      const auto alias = aliases.find(name);
      if (alias != aliases.end()) it = models.find(alias->second);
    }
    return it == models.end() ? nullptr : &it->second;
  }

  Known* look_up(std::string_view name) {
    std::vector<std::string> readings = other_readings(name);
    readings.insert(readings.begin(), std::string(name));
    for (const std::string& reading : readings) {
      if (Known* const known = find(reading); known != nullptr) return known;
    }
    for (const std::string& reading : readings) {
      if (Known* const known = find_in_any_case(reading); known != nullptr) return known;
    }
    return nullptr;
  }

  Known* find_in_any_case(std::string_view name) {
    const std::string small = lower_case(name);
    if (const auto repo = repos.find(small); repo != repos.end()) return best_of(repo->second);
    const auto it = in_any_case.find(small);
    return it == in_any_case.end() ? nullptr : find(it->second);
  }

  // The largest model that fits, as far as that is known; if none fits, the smallest.
  Known* best_of(const std::vector<ModelId>& ids) {
    Known* best = nullptr;
    Known* smallest = nullptr;
    for (const ModelId& id : ids) {
      Known* const known = find(id);
      if (known == nullptr) continue;
      const std::string key = key_of(known->spec);
      const bool fits = !invalid.contains(key) && may_fit(known->spec, store.find(key), room);
      if (fits && (best == nullptr || known->spec.size > best->spec.size)) best = known;
      if (smallest == nullptr || known->spec.size < smallest->spec.size) smallest = known;
    }
    return best != nullptr ? best : smallest;
  }

  // Makes the indices that find() needs beside the models.
  void index() {
    in_any_case.clear();
    repos.clear();
    const auto add = [this](const std::string& name, const ModelId& id) {
      const auto [it, is_new] = in_any_case.emplace(lower_case(name), id);
      if (!is_new && it->second != id) it->second.clear();
    };
    for (const auto& [id, known] : models) {
      add(id, id);
      for (const ModelId& alias : known.spec.aliases) add(alias, id);
      if (!known.spec.repo.empty()) repos[lower_case(known.spec.repo)].push_back(id);
    }
  }

  void save_names() {
    if (names_saver) return names_saver->changed();
    if (!names_file) return;
    if (const auto written = names_file->write(file_book_text(options.book)); !written) {
      log::warn("{}", written.error().message);
    }
  }

  // Notes the kind of a file, which its inspection has found.
  void note_kind(const ModelSpec& spec, FileKind kind) {
    if (spec.place.empty()) return;
    const std::string identity = spec.identity.substr(0, spec.identity.find(' ') + 1);  // that of its first file
    FileNote& note = options.book[spec.place];
    if (note.identity == identity && note.kind == kind) return;
    const FileKind taken_for = note.kind;
    note.identity = identity;
    note.kind = kind;
    learned.push_back(spec.place);
    std::erase_if(unsure, [&](const ModelSpec& file) { return file.place == spec.place; });
    save_names();
    if (taken_for != kind && surprised) surprised();
  }

  std::string key_of(const ModelSpec& spec) const { return inspection_key(spec, driver.fingerprint()); }

  // Runs `look`, which blocks and touches nothing of the catalog, and gives the result to `then`, unless the catalog is
  // gone by then.
  template <typename Look, typename Then>
  void look_aside(Look look, Then then) {
    if (beside == nullptr) return then(look());
    const auto seen = std::make_shared<std::optional<decltype(look())>>();
    beside->offload(
        io::Lane::kAwaited, [seen, look = std::move(look)]() mutable { *seen = look(); },
        [seen, still = std::weak_ptr(alive), then = std::move(then)]() mutable {
          if (!still.expired()) then(*std::move(*seen));
        });
  }

  // Looks at the model's files, and takes what they are like now. `replaced`: whether they differ from what was known
  // when the look was asked for, even if another look saw it first. Errors: kModelNotFound, and those of
  // describe_files().
  void describe(const ModelId& id, std::function<void(Result<bool> replaced)> then) {
    if (const Known* const known = find(id)) return describe(id, known->spec.identity, std::move(then));
    then(fail(unknown_model(id)));
  }

  void describe(const ModelId& id, const std::string& known_as, std::function<void(Result<bool> replaced)> then) {
    const Known* const known = find(id);
    if (known == nullptr) return then(fail(unknown_model(id)));
    const auto look = [spec = known->spec]() mutable -> Result<ModelSpec> {
      if (const auto described = describe_files(spec); !described) return fail(described.error());
      return spec;
    };
    look_aside(look, [this, id, known_as, before = known->spec, then = std::move(then)](Result<ModelSpec> now) {
      Known* const still = find(id);
      // The spec was read anew meanwhile: what this look saw may be older.
      if (still == nullptr || still->spec != before) return describe(id, known_as, then);
      if (!now) return then(fail(now.error()));
      still->spec = *std::move(now);
      then(still->spec.identity != known_as);
    });
  }

  // Inspects the model with one set of arguments.
  void inspect(const ModelSpec& spec, Done done) {
    const std::string key = key_of(spec);
    if (const ModelMetadata* const metadata = store.find(key); metadata != nullptr) {
      done(ModelMetadata(*metadata));
      return;
    }
    if (const auto it = invalid.find(key); it != invalid.end()) {
      done(fail(Error(it->second)));
      return;
    }
    auto& waiting = under_way[key];
    waiting.push_back(std::move(done));
    if (waiting.size() > 1) return;
    driver.inspect(spec, [this, still = std::weak_ptr(alive), key, spec](const Result<ModelMetadata>& result) {
      if (still.expired()) return;
      conclude(spec, key, result, [this, key](const Result<ModelMetadata>& concluded) { answer(key, concluded); });
    });
  }

  FitResult fit(const ModelSpec& spec, Bytes space) const {
    return minerva::fit(spec, space,
                        [&](const Reduction& reduction) { return store.find(key_of(reduced(spec, reduction))); });
  }

  template <typename Change>
  void note(const std::string& key, Change change) {
    const ModelMetadata* const known = store.find(key);
    if (known == nullptr) return;
    ModelMetadata changed = *known;
    if (change(changed)) store.put(key, changed);
  }

  // Gives an inspection's result to `then` as the answer about a model, and keeps it.
  void conclude(const ModelSpec& spec, const std::string& key, Result<ModelMetadata> result, Done then) {
    look_aside(
        [before = spec.identity, now = ModelSpec(spec)]() mutable -> Result<bool> {
          if (const auto described = describe_files(now); !described) return fail(described.error());
          return now.identity == before;
        },
        [this, spec, key, result = std::move(result), then = std::move(then)](const Result<bool>& same) mutable {
          then(keep(spec, key, std::move(result), same));
        });
  }

  // `same`: whether the files are still the same. If they were replaced meanwhile, nobody knows which files the answer
  // is about, so it is not kept.
  Result<ModelMetadata> keep(const ModelSpec& spec, const std::string& key, Result<ModelMetadata> result,
                             const Result<bool>& same) {
    if (!same) return fail(same.error());
    if (*same && result) note_kind(spec, result->kind);
    if (result && result->kind != FileKind::kModel) result = fail(no_model(result->kind));
    if (*same && result) {
      // If the model is known already, the store knows more about it: what was measured.
      if (store.find(key) == nullptr) store.put(key, *result);
    } else if (*same && result.error().code == ErrorCode::kInvalidModel) {
      if (invalid.size() >= kMaxInvalid) invalid.clear();
      invalid[key] = result.error();
    }
    return result;
  }

  void answer(const std::string& key, const Result<ModelMetadata>& result) {
    const auto waiting = under_way.extract(key);
    const std::weak_ptr<bool> still_alive = alive;
    for (const Done& done : waiting.mapped()) {
      done(result);
      if (still_alive.expired()) return;
    }
  }
};

Catalog::Catalog(CatalogOptions options, EngineDriver& driver, io::Loop* loop)
    : impl_(std::make_unique<Impl>(std::move(options), driver, loop)) {}
Catalog::~Catalog() = default;

const CatalogOptions& Catalog::options() const { return impl_->options; }

void Catalog::set_options(std::vector<std::string> models_dirs, bool folders_may_be_missing,
                          std::vector<ModelEntry> entries, bool fit) {
  impl_->options.models_dirs = std::move(models_dirs);
  impl_->options.folders_may_be_missing = folders_may_be_missing;
  impl_->options.entries = std::move(entries);
  impl_->options.fit = fit;
}

void Catalog::set_room(Bytes room) { impl_->room = room; }

Catalog::Changes Catalog::apply(ScanResult result) {
  impl_->unsure = std::move(result.unsure);
  impl_->problems = std::move(result.problems);
  // What was learned during the scan is newer than what the scan began with.
  for (const std::string& place : std::exchange(impl_->learned, {})) {
    const auto scanned = result.book.find(place);
    if (scanned == result.book.end()) continue;
    scanned->second.kind = impl_->options.book[place].kind;
    scanned->second.identity = impl_->options.book[place].identity;
  }
  if (impl_->options.book != result.book) {
    impl_->options.book = std::move(result.book);
    impl_->save_names();
  }
  std::map<ModelId, Impl::Known, std::less<>> models;
  for (ModelSpec& spec : result.models) {
    const ModelId id = spec.id;
    models[id] = {std::move(spec)};
  }
  impl_->aliases.clear();
  for (const auto& [id, known] : models) {
    for (const ModelId& alias : known.spec.aliases) impl_->aliases[alias] = id;
  }
  for (auto& [id, known] : impl_->models) {
    if ((!known.by_path && known.for_now == 0) || models.contains(id) || impl_->aliases.contains(id)) continue;
    Impl::Known still = known;
    if (describe_files(still.spec)) models[id] = std::move(still);
  }

  Changes changes;
  for (const auto& [id, known] : models) {
    const auto before = impl_->models.find(id);
    if (before == impl_->models.end() || before->second.spec != known.spec) {
      changes.added_or_changed.push_back(known.spec);
    }
  }
  for (const auto& [id, known] : impl_->models) {
    if (!models.contains(id)) changes.removed.push_back(id);
  }
  impl_->models = std::move(models);
  impl_->index();
  return changes;
}

const ModelSpec* Catalog::find(std::string_view id_or_alias) const {
  const Impl::Known* const known = impl_->find(id_or_alias);
  return known == nullptr ? nullptr : &known->spec;
}

const ModelSpec* Catalog::look_up(std::string_view name) const {
  const Impl::Known* const known = impl_->look_up(name);
  return known == nullptr ? nullptr : &known->spec;
}

std::vector<const ModelSpec*> Catalog::list() const {
  std::vector<const ModelSpec*> specs;
  for (const auto& [id, known] : impl_->models) specs.push_back(&known.spec);
  return specs;
}

const std::vector<std::string>& Catalog::problems() const { return impl_->problems; }

Result<const ModelSpec*> Catalog::add_path(const ModelId& id, std::string_view path, bool for_now) {
  if (!is_usable_id(id)) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" cannot be a model's name", id), "model_id");
  }
  const auto resolved = resolve_model_path(path, impl_->options.models_dirs);
  if (!resolved) return fail(Error{resolved.error().code, resolved.error().message, "model_path"});
  if (Impl::Known* const known = impl_->find(id); known != nullptr) {
    if (known->spec.path == *resolved) {
      if (known->for_now > 0) (for_now ? known->for_now += 1 : known->by_path = true);
      return &known->spec;
    }
    return fail(ErrorCode::kConflict,
                fmt::format("\"{}\" already names another file; choose another model_id, or leave out model_path", id),
                "model_path");
  }
  ModelSpec spec;
  spec.fit = impl_->options.fit;
  unsigned names = 0;
  std::size_t added = 0;
  for (const auto& [other, known] : impl_->models) {
    added += known.by_path || known.for_now > 0 ? 1 : 0;
    if (known.spec.path != *resolved) continue;
    ++names;
    if (known.spec.place.empty()) continue;
    spec.name = known.spec.name;
    spec.mmproj = known.spec.mmproj;
    spec.companions = known.spec.companions;
  }
  if (names >= kMostNamesOfAFile || added >= kMostAddedByPath) {
    return fail(ErrorCode::kConflict,
                names >= kMostNamesOfAFile
                    ? fmt::format("the file has {} names already; use one of them", names)
                    : fmt::format("{} models were added by their paths already; use their names", added),
                "model_path");
  }
  spec.id = id;
  spec.path = *resolved;
  const auto parts = model_parts(spec.path);
  if (!parts) return fail(Error{parts.error().code, parts.error().message, "model_path"});
  spec.more_files.assign(parts->begin() + 1, parts->end());
  if (spec.name.empty()) {
    spec.name = parse_model_file_name(std::filesystem::path(*resolved).filename().string()).stem;
    spec.mmproj = projector_of(*resolved);
  }
  const auto described = describe_files(spec);
  if (!described) return fail(Error{described.error().code, described.error().message, "model_path"});
  const auto& made = impl_->models.emplace(id, Impl::Known{std::move(spec), !for_now, for_now ? 1U : 0U}).first->second;
  impl_->index();
  return &made.spec;
}

bool Catalog::drop_path(const ModelId& id) {
  const auto it = impl_->models.find(id);
  if (it == impl_->models.end() || it->second.for_now == 0) return false;
  if (--it->second.for_now > 0 || it->second.by_path) return false;
  impl_->models.erase(it);
  impl_->index();
  return true;
}

void Catalog::look_again(const ModelId& id, std::function<void(bool replaced)> done) {
  impl_->describe(id, [done = std::move(done)](const Result<bool>& replaced) { done(replaced.value_or(false)); });
}

void Catalog::inspect(const ModelId& id, ModelRoom room, std::function<void(Result<FittedModel>)> done) {
  impl_->describe(id, [impl = impl_.get(), id, room = std::move(room),
                       done = std::move(done)](const Result<bool>& described) mutable {
    if (!described) return done(fail(Error(described.error())));
    const auto inspect = [impl](const ModelSpec& spec, Impl::Done answer) { impl->inspect(spec, std::move(answer)); };
    inspect_to_place(impl->find(id)->spec, std::move(room), inspect, std::move(done));
  });
}

std::optional<Reduction> Catalog::known_fit(const ModelSpec& spec, Bytes room) const {
  return impl_->fit(spec, room).found;
}

void Catalog::inspect_idly(const ModelSpec& spec, std::function<void(Result<ModelMetadata>)> done) {
  const std::string key = impl_->key_of(spec);
  impl_->driver.inspect_idly(spec, [impl = impl_.get(), still = std::weak_ptr(impl_->alive), spec, key,
                                    done = std::move(done)](Result<ModelMetadata> result) {
    if (!still.expired()) impl->conclude(spec, key, std::move(result), done);
  });
}

std::vector<ModelSpec> Catalog::unknown() const {
  std::vector<ModelSpec> specs;
  std::copy_if(impl_->unsure.begin(), impl_->unsure.end(), std::back_inserter(specs),
               [this](const ModelSpec& spec) { return !impl_->invalid.contains(impl_->key_of(spec)); });
  for (const auto& [id, known] : impl_->models) {
    const std::string key = impl_->key_of(known.spec);
    if (known.spec.command.argv.empty() && impl_->store.find(key) == nullptr && !impl_->invalid.contains(key) &&
        !impl_->under_way.contains(key)) {
      specs.push_back(known.spec);
    }
  }
  return specs;
}

const Error* Catalog::invalid(const ModelSpec& spec) const {
  const auto it = impl_->invalid.find(impl_->key_of(spec));
  return it == impl_->invalid.end() ? nullptr : &it->second;
}

void Catalog::on_surprise(std::function<void()> fn) { impl_->surprised = std::move(fn); }

const ModelMetadata* Catalog::metadata(const ModelSpec& spec) const { return impl_->store.find(impl_->key_of(spec)); }

std::string Catalog::key(const ModelSpec& spec) const { return impl_->key_of(spec); }

void Catalog::note_measured(const std::string& key, const Measurement& measured) {
  impl_->note(key, [&measured](ModelMetadata& known) {
    const bool differs_on_devices = std::exchange(known.measured_on_devices, measured.devices) != measured.devices;
    return note_size(known.measured, measured.host) || differs_on_devices;
  });
}

void Catalog::note_residue(const std::string& key, Bytes residue) {
  impl_->note(key, [residue](ModelMetadata& known) { return note_size(known.residue, residue); });
}

void Catalog::note_load_time(const std::string& key, Duration took) {
  impl_->note(key, [took](ModelMetadata& known) { return note_time(known.load_time, took); });
}

void Catalog::note_wake_time(const std::string& key, Duration took) {
  impl_->note(key, [took](ModelMetadata& known) { return note_time(known.wake_time, took); });
}

void Catalog::forget_metadata() {
  impl_->store.clear();
  impl_->invalid.clear();
}

void Catalog::finish() {
  impl_->store.finish();
  if (impl_->names_saver) impl_->names_saver->finish();
}

}  // namespace minerva
