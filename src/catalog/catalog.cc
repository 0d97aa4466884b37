#include "catalog/catalog.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "catalog/context_search.h"
#include "catalog/metadata_store.h"
#include "catalog/model_files.h"
#include "engine/engine_arguments.h"
#include "engine/inspection.h"

namespace minerva {
namespace {

// What an inspection's answer depends on. Unit separators keep lists apart from their neighbours.
std::string inspection_key(const ModelSpec& spec, const std::string& fingerprint) {
  // Nothing but the config says what a command takes.
  if (!spec.command.argv.empty()) return fmt::format("command\x1f{}\x1f{}", spec.id, spec.command.memory.count());
  return fmt::format("{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{}\x1f{}", spec.path, spec.mmproj, spec.identity,
                     spec.context.value_or(0), spec.parallel, static_cast<int>(spec.weights),
                     fmt::join(spec.args, "\x1e"), fingerprint);
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

// A figure that has hardly changed, by less than one part in `parts`, is not worth writing the file again.
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

// Times vary more, and come more often.
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
    bool by_path = false;  // added by add_path()
  };
  using Done = std::function<void(Result<ModelMetadata>)>;

  Impl(CatalogOptions catalog_options, EngineDriver& engine_driver, io::Loop* loop)
      : options(std::move(catalog_options)),
        driver(engine_driver),
        beside(loop),
        store(options.cache_dir.empty() ? "" : options.cache_dir + "/metadata.json", loop) {}

  CatalogOptions options;
  EngineDriver& driver;
  io::Loop* beside;  // null: files are looked at inside the call
  MetadataStore store;
  std::map<ModelId, Known, std::less<>> models;
  std::map<std::string, ModelId, std::less<>> aliases;
  std::map<std::string, std::vector<Done>> under_way;  // by key
  std::map<std::string, Error> invalid;                // by key
  // Tells the driver's answers that outlive the catalog that it is gone.
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

  std::string key_of(const ModelSpec& spec) const { return inspection_key(spec, driver.fingerprint()); }

  // Hands what `look` says to `then`, unless the catalog is gone by then. `look` blocks, and touches nothing of it.
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

  // Takes the model's files as they are now, and tells whether they are others than were known. Errors: kModelNotFound,
  // and those of describe_files().
  void describe(const ModelId& id, std::function<void(Result<bool> replaced)> then) {
    const Known* const known = find(id);
    if (known == nullptr) return then(fail(ErrorCode::kModelNotFound, fmt::format("there is no model \"{}\"", id)));
    const auto look = [spec = known->spec]() mutable -> Result<ModelSpec> {
      if (const auto described = describe_files(spec); !described) return fail(described.error());
      return spec;
    };
    look_aside(look, [this, id, before = known->spec, then = std::move(then)](Result<ModelSpec> now) {
      Known* const still = find(id);
      // It was read anew meanwhile: what was seen here may be older.
      if (still == nullptr || still->spec != before) return describe(id, then);
      if (!now) return then(fail(now.error()));
      still->spec = *std::move(now);
      then(still->spec.identity != before.identity);
    });
  }

  // Of one set of arguments.
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
      if (!still.expired()) inspected(spec, key, result);
    });
  }

  // Of smaller contexts, until the largest that fits is found. `whole`: what the one it is to have needs.
  void inspect_smaller(ModelSpec spec, ContextSearch search, ModelMetadata whole, Done done) {
    const std::optional<unsigned> next = search.next();
    if (!next && !search.best()) return done(std::move(whole));
    // Found: known by now.
    spec.context = next ? next : search.best();
    inspect(spec, [this, spec, search, whole = std::move(whole), done = std::move(done),
                   asked = next.has_value()](Result<ModelMetadata> result) mutable {
      if (!result || !asked) return done(std::move(result));
      search.take(result->footprint());
      inspect_smaller(std::move(spec), search, std::move(whole), std::move(done));
    });
  }

  template <typename Change>
  void note(const std::string& key, Change change) {
    const ModelMetadata* const known = store.find(key);
    if (known == nullptr) return;
    ModelMetadata changed = *known;
    if (change(changed)) store.put(key, changed);
  }

  void inspected(const ModelSpec& spec, const std::string& key, Result<ModelMetadata> result) {
    if (result && result->kind != FileKind::kModel) result = fail(no_model(result->kind));
    look_aside([spec] { return files_identity(spec) == spec.identity; },
               [this, key, result](bool same) { answer(key, result, same); });
  }

  // Files replaced meanwhile (not the `same`): nobody knows which ones the answer is about, so it is not kept.
  void answer(const std::string& key, const Result<ModelMetadata>& result, bool same) {
    if (same && result) {
      store.put(key, *result);
    } else if (same && result.error().code == ErrorCode::kInvalidModel) {
      if (invalid.size() >= kMaxInvalid) invalid.clear();
      invalid[key] = result.error();
    }
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

void Catalog::set_options(std::vector<std::string> models_dirs, std::vector<ModelEntry> entries) {
  impl_->options.models_dirs = std::move(models_dirs);
  impl_->options.entries = std::move(entries);
}

Catalog::Changes Catalog::apply(ScanResult result) {
  std::map<ModelId, Impl::Known, std::less<>> models;
  for (ModelSpec& spec : result.models) {
    const ModelId id = spec.id;
    models[id] = {std::move(spec), false};
  }
  impl_->aliases.clear();
  for (const auto& [id, known] : models) {
    for (const ModelId& alias : known.spec.aliases) impl_->aliases[alias] = id;
  }
  for (auto& [id, known] : impl_->models) {
    if (!known.by_path || models.contains(id) || impl_->aliases.contains(id)) continue;
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
  return changes;
}

const ModelSpec* Catalog::find(std::string_view id_or_alias) const {
  const Impl::Known* const known = impl_->find(id_or_alias);
  return known == nullptr ? nullptr : &known->spec;
}

std::vector<const ModelSpec*> Catalog::list() const {
  std::vector<const ModelSpec*> specs;
  for (const auto& [id, known] : impl_->models) specs.push_back(&known.spec);
  return specs;
}

Result<const ModelSpec*> Catalog::add_path(const ModelId& id, std::string_view path) {
  if (!is_model_id(id) || id == "stats") {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" cannot be a model's name", id), "model_id");
  }
  const auto resolved = resolve_model_path(path, impl_->options.models_dirs);
  if (!resolved) return fail(Error{resolved.error().code, resolved.error().message, "model_path"});
  if (const Impl::Known* const known = impl_->find(id); known != nullptr) {
    if (known->spec.path == *resolved) return &known->spec;
    return fail(ErrorCode::kConflict,
                fmt::format("\"{}\" already names another file; choose another model_id, or leave out model_path", id),
                "model_path");
  }
  ModelSpec spec;
  spec.id = id;
  spec.path = *resolved;
  const auto parts = model_parts(spec.path);
  if (!parts) return fail(Error{parts.error().code, parts.error().message, "model_path"});
  spec.more_files.assign(parts->begin() + 1, parts->end());
  spec.mmproj = projector_of(*resolved, impl_->options.models_dirs);
  const auto described = describe_files(spec);
  if (!described) return fail(Error{described.error().code, described.error().message, "model_path"});
  return &impl_->models.emplace(id, Impl::Known{std::move(spec), true}).first->second.spec;
}

void Catalog::look_again(const ModelId& id, std::function<void(bool replaced)> done) {
  impl_->describe(id, [done = std::move(done)](const Result<bool>& replaced) { done(replaced.value_or(false)); });
}

void Catalog::inspect(const ModelId& id, Bytes room, std::function<void(Result<ModelMetadata>)> done) {
  impl_->describe(id, [impl = impl_.get(), id, room, done = std::move(done)](const Result<bool>& described) mutable {
    if (!described) return done(fail(Error(described.error())));
    const ModelSpec& spec = impl->find(id)->spec;
    if (!spec.context_may_shrink) return impl->inspect(spec, std::move(done));
    impl->inspect(spec, [impl, spec, room, done = std::move(done)](Result<ModelMetadata> result) mutable {
      if (!result || result->footprint() <= room) return done(std::move(result));
      const ContextSearch search(room, result->context, result->footprint());
      impl->inspect_smaller(std::move(spec), search, *std::move(result), std::move(done));
    });
  });
}

const ModelMetadata* Catalog::metadata(const ModelSpec& spec) const { return impl_->store.find(impl_->key_of(spec)); }

std::string Catalog::key(const ModelSpec& spec) const { return impl_->key_of(spec); }

void Catalog::note_measured(const std::string& key, Bytes footprint) {
  impl_->note(key, [footprint](ModelMetadata& known) { return note_size(known.measured, footprint); });
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

void Catalog::finish() { impl_->store.finish(); }

std::optional<unsigned> shrunk_from(const ModelSpec& spec, const ModelMetadata& metadata) {
  const unsigned whole = conversation_context(spec, metadata.trained_context);
  return spec.context_may_shrink && metadata.context < whole ? std::optional(whole) : std::nullopt;
}

}  // namespace minerva
