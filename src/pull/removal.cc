#include "pull/removal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <utility>

#include "api/json.h"
#include "catalog/hub_cache.h"
#include "catalog/model_files.h"
#include "io/descriptor.h"
#include "pull/layout.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostEntries = 100'000;  // in the snapshots of a repository

bool is_inside(const fs::path& path, const fs::path& folder) {
  const auto [in_folder, in_path] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return in_folder == folder.end() && in_path != path.end();
}

std::string file_name(const fs::path& path) { return path.filename().string(); }

// The names of all parts of a model, by the name of the first part.
std::vector<std::string> part_names(const fs::path& first) {
  const ModelFileName name = parse_model_file_name(file_name(first));
  if (name.parts == 0) return {file_name(first)};
  std::vector<std::string> names;
  for (unsigned part = 1; part <= name.parts; ++part) {
    names.push_back(fmt::format("{}-{:05}-of-{:05}{}", name.stem, part, name.parts, first.extension().string()));
  }
  return names;
}

// An entry of the model's folder, or of one of its repository's snapshots.
struct Entry {
  fs::path path;
  std::string name;  // in the repository, or the name of the file
  fs::path real;     // with its links resolved; empty: they lead nowhere
  fs::path target;   // of a link: its direct target; else empty
};

class Planner {
 public:
  Planner(const ModelSpec& spec, const std::vector<ModelSpec>& others, const std::vector<std::string>& folders)
      : spec_(spec) {
    for (const std::string& folder : folders) {
      std::error_code error;
      fs::path canonical = fs::canonical(folder, error);
      if (!error) folders_.push_back(std::move(canonical));
    }
    for (const ModelSpec& other : others) {
      if (other.id == spec.id) continue;
      note_use(other, other.path);
      note_use(other, other.mmproj);
      for (const std::string& file : other.more_files) note_use(other, file);
      for (const std::string& file : other.companions) note_use(other, file);
    }
  }

  Result<Removal> plan() {
    if (!spec_.command.argv.empty()) {
      return fail(
          ErrorCode::kConflict,
          fmt::format("\"{}\" is a command of the config: it has no file here. Remove its [model] entry.", spec_.id));
    }
    if (spec_.place.empty()) {
      return fail(ErrorCode::kConflict,
                  fmt::format("\"{}\" is a name that was given to {}, which no look through the models folders finds: "
                              "remove the file yourself.",
                              spec_.id, spec_.path));
    }
    if (const auto read = read_entries(); !read) return fail(read.error());
    if (const auto chosen = choose_links(); !chosen) return fail(chosen.error());
    if (const auto chosen = choose_blobs(); !chosen) return fail(chosen.error());
    return std::move(removal_);
  }

 private:
  void note_use(const ModelSpec& by, const std::string& file) {
    if (file.empty()) return;
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (!error) used_.emplace(real, by.id);
  }

  // ---- what there is ----

  Failure unreadable(const fs::path& folder, const std::error_code& error) const {
    return fail(ErrorCode::kIo,
                fmt::format("cannot read {}: {}. Nothing was removed.", folder.string(), error.message()));
  }

  Result<void> add_entry(const fs::path& path, std::string name) {
    if (entries_.size() == kMostEntries) {
      return fail(ErrorCode::kIo,
                  fmt::format("{} has too many files to look at. Nothing was removed.", repo_.string()));
    }
    std::error_code error;
    Entry entry{path, std::move(name), fs::canonical(path, error), {}};
    if (error) entry.real.clear();
    const fs::path link = fs::read_symlink(path, error);
    if (!error) entry.target = (path.parent_path() / link).lexically_normal();
    entries_.push_back(std::move(entry));
    return {};
  }

  Result<void> read_entries() {
    const fs::path place(spec_.place);
    if (!spec_.repo.empty()) {
      for (fs::path folder = place.parent_path(); folder.has_relative_path(); folder = folder.parent_path()) {
        if (!is_hub_repo(folder)) continue;
        repo_ = folder;
        break;
      }
    }
    std::error_code error;
    if (repo_.empty()) {
      prefix_.clear();
      for (fs::directory_iterator it(place.parent_path(), error); !error && it != fs::directory_iterator();
           it.increment(error)) {
        if (const auto added = add_entry(it->path(), file_name(it->path())); !added) return added;
      }
      if (error) return unreadable(place.parent_path(), error);
      return {};
    }
    const fs::path inside = place.parent_path().lexically_relative(repo_);
    prefix_ = inside == "." ? "" : inside.string() + "/";
    const fs::path snapshots = repo_ / "snapshots";
    // Follows no links to folders: the hub makes none.
    for (fs::recursive_directory_iterator it(snapshots, error); !error && it != fs::recursive_directory_iterator();
         it.increment(error)) {
      std::error_code ignored;
      if (it->is_directory(ignored) && !it->is_symlink(ignored)) continue;
      const fs::path relative = it->path().lexically_relative(snapshots);
      const fs::path name = relative.lexically_relative(*relative.begin());
      if (const auto added = add_entry(it->path(), name.string()); !added) return added;
    }
    if (error) return unreadable(snapshots, error);
    return {};
  }

  // ---- what of it goes ----

  Result<void> choose_links() {
    for (const std::string& name : part_names(spec_.place)) {
      for (const Entry& entry : entries_) {
        if (entry.name != prefix_ + name) continue;
        if (const auto taken = take(entry); !taken) return taken;
      }
    }
    std::set<fs::path> companions;
    for (const std::string& file : spec_.companions) {
      std::error_code error;
      const fs::path real = fs::canonical(file, error);
      if (error) continue;
      if (const auto user = used_.find(real); user != used_.end()) {
        stays("{} stays: {} uses it too.", file_name(file), user->second);
      } else {
        companions.insert(real);
      }
    }
    for (const Entry& entry : entries_) {
      if (is_gguf_file_name(file_name(entry.path)) && companions.contains(entry.real)) {
        if (const auto taken = take(entry); !taken) return taken;
      }
    }
    if (removal_.victims.empty()) {
      return fail(ErrorCode::kIo, fmt::format("No file of {} is there any more.", spec_.id));
    }
    return {};
  }

  template <typename... Args>
  void stays(fmt::format_string<Args...> format, Args&&... args) {
    std::string text = fmt::format(format, std::forward<Args>(args)...);
    if (std::find(removal_.stays.begin(), removal_.stays.end(), text) == removal_.stays.end()) {
      removal_.stays.push_back(std::move(text));
    }
  }

  // Takes a file in a folder of models, or in a snapshot. Each file once.
  Result<void> take(const Entry& entry) {
    if (!taken_.insert(entry.path).second) return {};
    const bool is_link = !entry.target.empty();
    if (!is_link) {
      if (const auto user = used_.find(entry.real); user != used_.end()) return in_use(entry.path, user->second);
    }
    if (is_link && repo_.empty()) {
      stays("{} is a link: the link goes, and {} stays.", entry.path.string(),
            entry.real.empty() ? entry.target.string() : entry.real.string());
    }
    return add_victim(entry.path);
  }

  static Failure in_use(const fs::path& file, const ModelId& user) {
    return fail(ErrorCode::kConflict,
                fmt::format("{} is a file of the model \"{}\" too: remove that one first. Nothing "
                            "was removed.",
                            file.string(), user));
  }

  Result<void> add_victim(const fs::path& path) {
    std::error_code error;
    const fs::path folder = fs::canonical(path.parent_path(), error);
    const auto owns = [&](const fs::path& models) { return folder == models || is_inside(folder, models); };
    if (error || std::none_of(folders_.begin(), folders_.end(), owns)) {
      return fail(ErrorCode::kForbidden, fmt::format("{} lies outside of the models folders, to which a link leads: "
                                                     "remove it yourself. Nothing was removed.",
                                                     path.string()));
    }
    struct stat status{};
    const fs::path real = folder / path.filename();
    if (::lstat(real.c_str(), &status) != 0) return unreadable(real, {errno, std::generic_category()});
    // A file with another name (a hard link) is not freed.
    if (S_ISREG(status.st_mode) && status.st_nlink == 1) {
      removal_.frees += Bytes(static_cast<std::uint64_t>(status.st_size));
    }
    removal_.victims.push_back({real, status.st_dev, status.st_ino});
    return {};
  }

  // Takes the blobs to which only the chosen links lead.
  Result<void> choose_blobs() {
    if (repo_.empty()) return {};
    const fs::path blobs = repo_ / "blobs";
    std::set<fs::path> going;
    std::set<fs::path> linked;
    for (const Entry& entry : entries_) {
      if (!taken_.contains(entry.path)) {
        linked.insert(entry.target);
        linked.insert(entry.real);
      } else if (entry.target.parent_path() == blobs && !entry.real.empty()) {
        going.insert(entry.target);
      }
    }
    for (const fs::path& blob : going) {
      struct stat status{};
      if (::lstat(blob.c_str(), &status) != 0) continue;
      std::error_code error;
      const fs::path real = fs::canonical(blob, error);
      if (linked.contains(blob) || (!error && linked.contains(real))) {
        stays("{} stays: another file of {} has the same content.", blob.string(), spec_.repo);
        continue;
      }
      if (const auto user = used_.find(real); user != used_.end()) return in_use(blob, user->second);
      if (S_ISLNK(status.st_mode)) {
        stays("{} stays: it is an entry of the hub's shared store, which the hub's own tool collects.", real.string());
      }
      if (const auto added = add_victim(blob); !added) return added;
      removal_.locks.push_back(HubLayout(repo_.parent_path(), spec_.repo).lock(file_name(blob)));
    }
    return {};
  }

  const ModelSpec& spec_;
  std::vector<fs::path> folders_;     // of models, canonical
  std::map<fs::path, ModelId> used_;  // the files of other models, canonical
  fs::path repo_;                     // in the hub's cache; empty: the model is in no repository
  std::string prefix_;                // the beginning of the paths of its files in there
  std::vector<Entry> entries_;
  std::set<fs::path> taken_;
  Removal removal_;
};

Failure cannot_remove(const fs::path& path, std::string_view why) {
  return fail(ErrorCode::kIo, fmt::format("cannot remove {}: {}. What went before it is gone. Check the folder's owner "
                                          "and mode, and remove the rest yourself.",
                                          path.string(), why));
}

// Removes only what was planned: the folder may have been moved, and the file replaced meanwhile.
Result<void> remove(const Removal::Victim& victim) {
  const fs::path folder = victim.path.parent_path();
  const io::Descriptor opened(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
  if (!opened) return cannot_remove(victim.path, std::strerror(errno));
  std::error_code error;
  if (fs::read_symlink(fmt::format("/proc/self/fd/{}", *opened), error) != folder) {
    return cannot_remove(victim.path, "its folder is another one now");
  }
  const std::string name = victim.path.filename().string();
  struct stat status{};
  if (::fstatat(*opened, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    if (errno == ENOENT) return {};
    return cannot_remove(victim.path, std::strerror(errno));
  }
  if (status.st_dev != victim.device || status.st_ino != victim.inode) {
    return cannot_remove(victim.path, "it is another file now");
  }
  if (::unlinkat(*opened, name.c_str(), 0) != 0) return cannot_remove(victim.path, std::strerror(errno));
  // The removal of the links must be on disk before the files they lead to are removed.
  ::fsync(*opened);
  return {};
}

}  // namespace

Result<Removal> plan_removal(const ModelSpec& spec, const std::vector<ModelSpec>& others,
                             const std::vector<std::string>& folders) {
  return Planner(spec, others, folders).plan();
}

Result<void> carry_out(const Removal& removal) {
  std::vector<std::unique_ptr<FileLock>> locks;
  for (const fs::path& path : removal.locks) {
    auto lock = std::make_unique<FileLock>(path);
    if (lock->is_open() && !lock->owned()) {
      return fail(ErrorCode::kConflict, fmt::format("Another program fetches a file of it now ({} is locked). Nothing "
                                                    "was removed: try again later.",
                                                    path.string()));
    }
    locks.push_back(std::move(lock));
  }
  for (const Removal::Victim& victim : removal.victims) {
    if (const auto removed = remove(victim); !removed) return removed;
  }
  return {};
}

std::string removal_json(const ModelId& model, const Removal& removal, bool removed) {
  api::Json files = api::Json::array();
  for (const Removal::Victim& victim : removal.victims) files.push_back(victim.path.string());
  return api::dump({{"id", model},
                    {"removed", removed},
                    {"freed_bytes", removal.frees.count()},
                    {"files", std::move(files)},
                    {"stays", removal.stays}});
}

}  // namespace minerva::pull
