// Catalog::scan(): makes models and problems of folders and entries.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "catalog/catalog.h"
#include "catalog/hub_cache.h"
#include "catalog/model_files.h"
#include "catalog/names.h"
#include "engine/inspection.h"
#include "engine/user_arguments.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

constexpr unsigned kMostNested = 2;  // of folders inside a models folder: publisher/model/file.gguf

// "a projector"
std::string with_article(FileKind kind) {
  const bool vowel = kind == FileKind::kAdapter || kind == FileKind::kImportanceMatrix;
  return fmt::format("{} {}", vowel ? "an" : "a",
                     kind == FileKind::kOther ? "file for something else" : file_kind_name(kind));
}

class Scan {
 public:
  explicit Scan(const CatalogOptions& options) : options_(options) { result_.book = options.book; }

  ScanResult run() {
    for (const std::string& folder : options_.models_dirs) {
      std::error_code error;
      const fs::path canonical = fs::canonical(folder, error);
      if (!error) {
        read_folder(canonical, 0);
      } else if (error != std::errc::no_such_file_or_directory || !options_.folders_may_be_missing) {
        problem("the models folder {} cannot be read ({}): create it, or name another one", folder, error.message());
      }
    }
    std::vector<ModelSpec> named = named_by_entries();
    settle_names(named);
    for (Candidate& candidate : found_) {
      stems_.push_back({candidate.spec.id, candidate.spec.name, candidate.place, candidate.note.stem_is_alias});
      result_.models.push_back(std::move(candidate.spec));
    }
    apply_entries_by_id();
    std::move(named.begin(), named.end(), std::back_inserter(result_.models));
    std::sort(result_.models.begin(), result_.models.end(),
              [](const ModelSpec& a, const ModelSpec& b) { return a.id < b.id; });
    settle_aliases();
    forget_old_notes();
    return std::move(result_);
  }

 private:
  // A GGUF file, or all parts of a model.
  struct File {
    std::string place;  // see FileBook
    std::string stem;
    fs::path path;
    ModelId hub_id = {};  // the id by the rules of the Hugging Face cache
    FileKind kind = FileKind::kModel;
    bool sure = false;  // the kind is sure: the file was inspected
  };
  // A model in the folders, and the ids that it may get.
  struct Candidate {
    ModelSpec spec;
    ModelId wanted;      // its id, if that is free
    ModelId otherwise;   // its id if the other one is taken; with a hash if this one is taken too
    bool exact = false;  // `wanted` is the name itself, not made from it
    std::string place;
    FileNote note = {};
  };

  struct Stem {
    ModelId id;
    std::string text;
    std::string place;
    bool was_alias = false;
  };

  template <typename... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    result_.problems.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  void read_folder(const fs::path& folder, unsigned depth) {
    if (!seen_.insert(folder.string()).second) return;  // the folder is named twice, or is inside another models folder
    if (is_hub_repo(folder)) return read_repo(folder);
    result_.folders.push_back(folder.string());
    std::set<fs::path> entries;  // sorted, so that two scans of the same files give the same result
    std::error_code error;
    for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator(); it.increment(error)) {
      if (!it->path().filename().string().starts_with('.')) entries.insert(it->path());
    }
    if (error) problem("the folder {} cannot be read ({})", folder.string(), error.message());

    std::map<std::string, File> files;  // one for each model: stem and number of parts -> one part
    std::vector<fs::path> folders;
    for (const fs::path& entry : entries) {
      const std::string name = entry.filename().string();
      std::error_code ignored;
      if (fs::is_directory(entry, ignored)) {
        if (is_hub_repo(entry) || (depth < kMostNested && !is_hub_folder_of_others(name))) folders.push_back(entry);
      } else if (is_gguf_file_name(name)) {
        ModelFileName parsed = parse_model_file_name(name);
        std::string key = fmt::format("{}/{}{}", parsed.stem, parsed.parts, entry.extension().string());
        files.emplace(std::move(key), File{entry.string(), std::move(parsed.stem), entry});
      }
    }
    std::vector<File> list;
    for (auto& [key, file] : files) list.push_back(std::move(file));
    take_files(std::move(list), folder.filename().string(), {});
    for (const fs::path& inner : folders) {
      std::error_code ignored;
      read_folder(fs::canonical(inner, ignored), depth + 1);
    }
  }

  void read_repo(const fs::path& folder) {
    HubRepo repo = read_hub_repo(folder);
    std::move(repo.problems.begin(), repo.problems.end(), std::back_inserter(result_.problems));
    std::move(repo.folders.begin(), repo.folders.end(), std::back_inserter(result_.folders));
    std::vector<File> list;
    std::set<std::string> seen;
    for (const HubRepo::File& file : repo.files) {
      ModelFileName parsed = parse_model_file_name(file.path.filename().string());
      if (!seen.insert(fmt::format("{}/{}/{}", file.path.parent_path().string(), parsed.stem, parsed.parts)).second) {
        continue;  // it is another part of a model that is there already
      }
      list.push_back({(folder / file.name).string(), std::move(parsed.stem), file.path});
    }
    take_files(std::move(list), folder.filename().string(), repo.name);
  }

  // Takes files that lie beside each other: in a folder, or in a repository.
  void take_files(std::vector<File> files, const std::string& folder, const std::string& repo) {
    std::vector<File> models;
    std::vector<File> others;
    for (File& file : files) {
      const auto note = options_.book.find(file.place);
      file.sure = note != options_.book.end() && !note->second.identity.empty() &&
                  note->second.identity == file_identity(file.path.string());
      file.kind = file.sure ? note->second.kind : kind_by_name(file.stem);
      std::error_code error;
      if (fs::exists(file.path, error) && !fs::is_regular_file(file.path, error)) {
        problem("{} is not listed: it is no regular file", file.path.string());
      } else if (file.kind != FileKind::kImportanceMatrix && file.kind != FileKind::kOther &&
                 file.path.string().find('\n') != std::string::npos) {
        problem("{} is not listed: no engine can be told a path with a line break in it. Rename it",
                file.path.string());
      } else {
        (file.kind == FileKind::kModel ? models : others).push_back(std::move(file));
      }
    }
    if (!repo.empty()) {
      std::vector<std::string> stems;
      for (const File& model : models) stems.push_back(model.stem);
      const std::vector<ModelId> ids = hub_ids(repo, stems);
      for (std::size_t i = 0; i < models.size(); ++i) models[i].hub_id = ids[i];
    }
    std::vector<ModelSpec> specs(models.size());
    for (const File& other : others) take_other(other, models, specs);
    for (std::size_t i = 0; i < models.size(); ++i) add_model(models[i], std::move(specs[i]), folder, repo);
  }

  // Takes a file that is no model by itself.
  void take_other(const File& file, const std::vector<File>& models, std::vector<ModelSpec>& specs) {
    remember(file, {});
    ModelSpec alone;
    alone.id = file.stem;  // nobody asks for it by that id
    alone.name = file.stem;
    alone.place = file.place;
    alone.path = file.path.string();
    if (!describe(alone)) return;
    const std::string path = alone.path;
    if (!file.sure) result_.unsure.push_back(std::move(alone));
    if (file.kind == FileKind::kImportanceMatrix || file.kind == FileKind::kOther) {
      return problem("{} is not listed: it is {}, and no model", file.path.string(), with_article(file.kind));
    }
    std::vector<std::string> stems;
    for (const File& model : models) stems.push_back(model.stem);
    const std::vector<std::size_t> owners = owners_of(file.stem, stems);
    for (const std::size_t i : owners) {
      specs[i].companions.push_back(path);
      if (file.kind == FileKind::kProjector && specs[i].mmproj.empty()) specs[i].mmproj = path;
    }
    if (!owners.empty()) return;
    if (models.empty()) {
      problem("{} is {}, and no model is beside it: put it into the folder of the model it belongs to",
              file.path.string(), with_article(file.kind));
    } else {
      problem(
          "{} is {}, and {} models are beside it: which one it belongs to is unknown, so it is not used; give the "
          "model "
          "and the file a folder of their own, or names that begin alike",
          file.path.string(), with_article(file.kind), models.size());
    }
  }

  void add_model(const File& file, ModelSpec spec, const std::string& folder, const std::string& repo) {
    spec.name = file.stem;
    spec.fit = options_.fit;
    spec.place = file.place;
    spec.repo = repo;
    spec.path = file.path.string();
    if (!describe(spec)) return;
    Candidate candidate;
    candidate.place = file.place;
    if (repo.empty()) {
      candidate.wanted = id_of_stem(file.stem, file.place);
      candidate.otherwise = id_of_stem(folder + "-" + file.stem, file.place);
      candidate.exact = candidate.wanted == file.stem;
    } else {
      candidate.wanted = file.hub_id;
      candidate.otherwise = fmt::format("{}/{}", repo, id_of_stem(file.stem, file.place));
      candidate.exact = true;
    }
    candidate.note = note_of(file);
    candidate.spec = std::move(spec);
    found_.push_back(std::move(candidate));
  }

  // What is known about the file now, and the id it had.
  FileNote note_of(const File& file) const {
    FileNote note;
    const auto known = options_.book.find(file.place);
    if (known != options_.book.end()) {
      note.id = known->second.id;
      note.stem_is_alias = known->second.stem_is_alias;
    }
    note.kind = file.kind;
    if (file.sure) note.identity = known->second.identity;
    return note;
  }

  void remember(const File& file, const ModelId& id) {
    FileNote note = note_of(file);
    if (!id.empty()) note.id = id;
    result_.book[file.place] = std::move(note);
    noted_.insert(file.place);
  }

  // Sets what the files show. false: they make no model, which is added to the problems.
  bool describe(ModelSpec& spec) {
    const auto parts = model_parts(spec.path);
    if (!parts) {
      problem("{}", parts.error().message);
      return false;
    }
    spec.path = parts->front();
    spec.more_files.assign(parts->begin() + 1, parts->end());
    const auto described = describe_files(spec);
    if (!described) problem("{}", described.error().message);
    return described.has_value();
  }

  // false: the entry cannot be carried out, which is added to the problems.
  bool apply(const ModelEntry& entry, ModelSpec& spec) {
    spec.aliases = entry.aliases;
    spec.fit = entry.fit.value_or(options_.fit);
    spec.context = entry.context;
    spec.context_may_shrink = entry.context_may_shrink.value_or(spec.context_may_shrink);
    spec.parallel = entry.parallel;
    spec.pinned = entry.pinned.value_or(spec.pinned);
    spec.preload = entry.preload.value_or(spec.preload);
    spec.preload_at = entry.preload_at;
    spec.unload_at = entry.unload_at;
    spec.ttl = entry.ttl.value_or(spec.ttl);
    spec.unload_ttl = entry.unload_ttl.value_or(spec.unload_ttl);
    spec.weights = entry.weights.value_or(spec.weights);
    spec.device = entry.device.value_or("");
    spec.keeps_pages = entry.keeps_pages.value_or(spec.keeps_pages);
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
    // A newer draft model or template also makes another engine necessary.
    if (const auto described = describe_files(spec); !described) {
      problem("model \"{}\" is not listed: {}", entry.id, described.error().message);
      return false;
    }
    return true;
  }

  // The models to which an entry gives a file or a command. Files with such a name leave the models that were found.
  std::vector<ModelSpec> named_by_entries() {
    std::vector<ModelSpec> named;
    std::set<std::string> renamed;
    for (const ModelEntry& entry : options_.entries) {
      ModelSpec spec;
      spec.id = entry.id;
      if (!entry.command.argv.empty()) {
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
      const auto known = std::find_if(found_.begin(), found_.end(),
                                      [&](const Candidate& candidate) { return candidate.spec.path == *path; });
      if (known != found_.end()) {
        spec = known->spec;
        spec.id = entry.id;
      } else {
        spec.path = *path;
        spec.name = parse_model_file_name(fs::path(*path).filename().string()).stem;
        spec.mmproj = projector_of(*path);
        if (!describe(spec)) continue;
      }
      if (!apply(entry, spec)) continue;
      renamed.insert(spec.path);
      named.push_back(std::move(spec));
    }
    std::erase_if(found_, [&](const Candidate& candidate) {
      if (!renamed.contains(candidate.spec.path)) return false;
      noted_.insert(candidate.place);  // the book keeps its earlier id
      return true;
    });
    return named;
  }

  void settle_names(const std::vector<ModelSpec>& named) {
    // If the same file is reached in two ways, it is one model.
    std::set<std::pair<std::string, std::string>> files;
    std::erase_if(found_, [&](const Candidate& candidate) {
      return !files.emplace(candidate.spec.path, candidate.spec.name).second;
    });
    std::set<ModelId, std::less<>> taken;
    for (const ModelSpec& spec : named) taken.insert(spec.id);
    const std::set<ModelId, std::less<>> by_config = taken;
    const auto give = [&](Candidate& candidate, const ModelId& id) {
      if (!candidate.spec.id.empty() || !is_usable_id(id) || !taken.insert(id).second) return;
      candidate.spec.id = id;
    };
    for (Candidate& candidate : found_) give(candidate, candidate.note.id);
    for (Candidate& candidate : found_) {
      if (candidate.exact) give(candidate, candidate.wanted);
    }
    for (Candidate& candidate : found_) {
      give(candidate, candidate.wanted);
      give(candidate, candidate.otherwise);
      give(candidate, candidate.otherwise.substr(0, 190) + "-" + short_hash(candidate.place));
      give(candidate, "model-" + short_hash(candidate.place));
      // A model that gives way to an entry of the config gets its own name back once the entry is gone.
      const bool gives_way = by_config.contains(candidate.note.id.empty() ? candidate.wanted : candidate.note.id);
      if (!gives_way) candidate.note.id = candidate.spec.id;
      noted_.insert(candidate.place);
      result_.book[candidate.place] = candidate.note;
    }
    std::erase_if(found_, [](const Candidate& candidate) { return candidate.spec.id.empty(); });
    // A file that is gone loses its name to a file that exists.
    for (auto& [place, note] : result_.book) {
      if (!noted_.contains(place) && taken.contains(note.id)) note.id.clear();
    }
  }

  void apply_entries_by_id() {
    for (const ModelEntry& entry : options_.entries) {
      if (!entry.path.empty() || !entry.command.argv.empty()) continue;
      const auto it = std::find_if(result_.models.begin(), result_.models.end(),
                                   [&](const ModelSpec& spec) { return spec.id == entry.id; });
      if (it == result_.models.end()) {
        problem("the config names model \"{}\", but no models folder holds {}.gguf; set its path, or remove the entry",
                entry.id, entry.id);
      } else if (!apply(entry, *it)) {
        result_.models.erase(it);
      }
    }
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
    // The stem of a model's file is an alias too, for the model that had it before, else for the first one.
    for (const bool before : {true, false}) {
      for (const Stem& stem : stems_) {
        if (stem.was_alias != before) continue;
        const auto it = std::lower_bound(result_.models.begin(), result_.models.end(), stem.id,
                                         [](const ModelSpec& spec, const ModelId& wanted) { return spec.id < wanted; });
        if (it == result_.models.end() || it->id != stem.id) continue;  // its entry could not be carried out
        const bool is_alias = !is_reserved_id(stem.text) && owners.emplace(stem.text, stem.id).second;
        if (is_alias) it->aliases.push_back(stem.text);
        result_.book[stem.place].stem_is_alias = is_alias;
      }
    }
  }

  void forget_old_notes() {
    if (result_.book.size() < noted_.size() + kMostNotesOfGoneFiles) return;
    std::erase_if(result_.book, [this](const auto& note) { return !noted_.contains(note.first); });
  }

  const CatalogOptions& options_;
  std::vector<Candidate> found_;              // in the order of the folders
  std::vector<Stem> stems_;                   // of what was found, in that order
  std::set<std::string> seen_;                // folders
  std::set<std::string, std::less<>> noted_;  // places of files that are there
  ScanResult result_;
};

}  // namespace

ScanResult Catalog::scan(const CatalogOptions& options) { return Scan(options).run(); }

}  // namespace minerva
