// Catalog::scan: folders and entries to models and problems.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <set>

#include "catalog/catalog.h"
#include "catalog/model_files.h"
#include "engine/user_arguments.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMaxDepth = 2;  // of folders inside a models folder: publisher/model/file.gguf

class Scan {
 public:
  explicit Scan(const CatalogOptions& options) : options_(options) {}

  ScanResult run() {
    for (const std::string& folder : options_.models_dirs) {
      std::error_code error;
      const fs::path canonical = fs::canonical(folder, error);
      if (error) {
        problem("the models folder {} cannot be read ({}): create it, or name another one", folder, error.message());
      } else {
        read_folder(canonical, 0);
      }
    }
    apply_entries();
    settle_names();
    settle_aliases();
    return std::move(result_);
  }

 private:
  template <typename... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    result_.problems.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void read_folder(const fs::path& folder, unsigned depth) {
    if (!seen_.insert(folder.string()).second) return;  // named twice, or inside another models folder
    result_.folders.push_back(folder.string());
    std::error_code error;
    std::set<fs::path> entries;  // sorted, so that two scans of the same files agree
    for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator(); it.increment(error)) {
      if (!it->path().filename().string().starts_with('.')) entries.insert(it->path());
    }
    if (error) problem("the folder {} cannot be read ({})", folder.string(), error.message());

    std::map<std::string, fs::path> models;  // one file per model: stem and number of parts -> a part
    std::vector<std::string> projectors;
    for (const fs::path& entry : entries) {
      const std::string name = entry.filename().string();
      std::error_code ignored;
      if (fs::is_directory(entry, ignored)) {
        if (depth < kMaxDepth) read_folder(fs::canonical(entry, ignored), depth + 1);
      } else if (is_projector_file_name(name)) {
        projectors.push_back(name);
      } else if (is_model_file_name(name)) {
        const ModelFileName parsed = parse_model_file_name(name);
        models.emplace(fmt::format("{}/{}", parsed.stem, parsed.parts), entry);
      }
    }
    for (const auto& [key, file] : models) add_file(file);
    if (depth > 0 && !projectors.empty()) check_projectors(folder, models.size(), projectors);
  }

  void check_projectors(const fs::path& folder, std::size_t models, const std::vector<std::string>& projectors) {
    if (models > 1) {
      problem(
          "{} holds {} models and the projector {}: which one it belongs to is unknown, so it is not used; give "
          "the model and its projector a folder of their own",
          folder.string(), models, projectors.front());
    } else if (models == 1 && projectors.size() > 1) {
      problem("{} holds several projectors ({}): {} is used", folder.string(), fmt::join(projectors, ", "),
              projectors.front());
    }
  }

  void add_file(const fs::path& file) {
    ModelSpec spec;
    spec.id = parse_model_file_name(file.filename().string()).stem;
    if (!is_model_id(spec.id)) {
      problem(
          "{} cannot be a model's name, so {} is not listed; rename the file, or name it in the config "
          "([model.\"NAME\"] with path)",
          fmt::format("\"{}\"{}", spec.id, is_reserved_id(spec.id) ? " (reserved)" : ""), file.string());
      // An entry may still give it a name, by its path.
      return;
    }
    spec.path = file.string();
    if (describe(spec)) found_[spec.id].push_back(std::move(spec));
  }

  // Fills in what the files say. false: they make no model, which became a problem.
  bool describe(ModelSpec& spec) {
    const auto parts = model_parts(spec.path);
    if (!parts) {
      problem("{}", parts.error().message);
      return false;
    }
    spec.mmproj = projector_of(spec.path, options_.models_dirs);
    spec.path = parts->front();
    spec.more_files.assign(parts->begin() + 1, parts->end());
    const auto described = describe_files(spec);
    if (!described) problem("{}", described.error().message);
    return described.has_value();
  }

  // false: the entry cannot be carried out, which became a problem.
  bool apply(const ModelEntry& entry, ModelSpec& spec) {
    spec.aliases = entry.aliases;
    spec.context = entry.context;
    spec.context_may_shrink = entry.context_may_shrink.value_or(spec.context_may_shrink);
    spec.parallel = entry.parallel.value_or(spec.parallel);
    spec.pinned = entry.pinned.value_or(spec.pinned);
    spec.preload = entry.preload.value_or(spec.preload);
    spec.preload_at = entry.preload_at;
    spec.unload_at = entry.unload_at;
    spec.ttl = entry.ttl.value_or(spec.ttl);
    spec.unload_ttl = entry.unload_ttl.value_or(spec.unload_ttl);
    spec.weights = entry.weights.value_or(spec.weights);
    auto placed = place_argument_files(entry.args, [this, &spec](const std::string& file) -> Result<std::string> {
      auto path = resolve_model_path(file, options_.models_dirs);
      if (!path) return path;
      auto parts = model_parts(*path);
      if (!parts) return fail(parts.error());
      spec.more_files.insert(spec.more_files.end(), parts->begin(), parts->end());
      return parts->front();
    });
    if (!placed) {
      problem("model \"{}\" is not listed: {}", entry.id, placed.error().message);
      return false;
    }
    spec.args = std::move(placed->args);
    // Also a newer draft model or template makes another engine of it.
    if (const auto described = describe_files(spec); !described) {
      problem("model \"{}\" is not listed: {}", entry.id, described.error().message);
      return false;
    }
    return true;
  }

  void apply_entries() {
    std::vector<ModelSpec> named;
    std::set<std::string> renamed;  // files that an entry gives a name
    for (const ModelEntry& entry : options_.entries) {
      if (!entry.command.argv.empty()) {
        ModelSpec spec;
        spec.id = entry.id;
        spec.command = entry.command;
        apply(entry, spec);
        named.push_back(std::move(spec));
        continue;
      }
      if (entry.path.empty()) continue;
      const auto path = resolve_model_path(entry.path, options_.models_dirs);
      if (!path) {
        problem("model \"{}\" is not listed: {} (path = \"{}\")", entry.id, path.error().message, entry.path);
        continue;
      }
      ModelSpec spec;
      spec.id = entry.id;
      spec.path = *path;
      if (!describe(spec)) continue;
      if (!apply(entry, spec)) continue;
      renamed.insert(spec.path);
      named.push_back(std::move(spec));
    }
    for (auto& [id, specs] : found_) {
      std::erase_if(specs, [&renamed](const ModelSpec& spec) { return renamed.contains(spec.path); });
    }
    for (ModelSpec& spec : named) found_[spec.id].push_back(std::move(spec));

    for (const ModelEntry& entry : options_.entries) {
      if (!entry.path.empty() || !entry.command.argv.empty()) continue;
      const auto it = found_.find(entry.id);
      if (it == found_.end() || it->second.empty()) {
        problem("the config names model \"{}\", but no models folder holds {}.gguf; set its path, or remove the entry",
                entry.id, entry.id);
        continue;
      }
      std::erase_if(it->second, [&](ModelSpec& spec) { return !apply(entry, spec); });
    }
  }

  void settle_names() {
    for (auto& [id, specs] : found_) {
      // The same file reached in two ways is one model.
      const auto same = [](const ModelSpec& a, const ModelSpec& b) { return a.path == b.path; };
      specs.erase(std::unique(specs.begin(), specs.end(), same), specs.end());
      if (specs.size() == 1) {
        result_.models.push_back(std::move(specs.front()));
      } else if (specs.size() > 1) {
        problem("two models are called \"{}\", so neither is listed: {} and {}; rename one, or name it in the config",
                id, place_of(specs[0]), place_of(specs[1]));
      }
    }
  }

  static std::string_view place_of(const ModelSpec& spec) {
    return spec.command.argv.empty() ? std::string_view(spec.path) : "its command in the config";
  }

  void settle_aliases() {
    std::map<std::string, std::string> owners;  // of ids and aliases
    for (const ModelSpec& spec : result_.models) owners[spec.id] = spec.id;
    for (ModelSpec& spec : result_.models) {
      std::erase_if(spec.aliases, [&](const ModelId& alias) {
        const auto [owner, is_new] = owners.emplace(alias, spec.id);
        if (!is_new)
          problem("\"{}\" cannot be an alias of \"{}\": it already names \"{}\"", alias, spec.id, owner->second);
        return !is_new;
      });
    }
  }

  const CatalogOptions& options_;
  std::map<ModelId, std::vector<ModelSpec>> found_;
  std::set<std::string> seen_;  // folders
  ScanResult result_;
};

}  // namespace

ScanResult Catalog::scan(const CatalogOptions& options) { return Scan(options).run(); }

}  // namespace minerva
