#include "catalog/hub_cache.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <map>
#include <set>
#include <utility>

#include "catalog/model_files.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "models--";
constexpr unsigned kMaxDepth = 3;           // of folders inside a snapshot
constexpr std::size_t kMaxSnapshots = 100;  // that are looked at
constexpr std::size_t kMaxProblems = 20;    // of one repository

// The entries of a folder, sorted; none if it is not there.
std::vector<fs::path> entries_of(const fs::path& folder) {
  std::vector<fs::path> entries;
  std::error_code error;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator(); it.increment(error)) {
    entries.push_back(it->path());
  }
  std::sort(entries.begin(), entries.end());
  return entries;
}

bool is_folder(const fs::path& path) {
  std::error_code error;
  return fs::is_directory(path, error);
}

std::string first_word(const fs::path& file) {
  std::string word;
  std::ifstream(file) >> word;
  return word.substr(0, 100);
}

bool is_hex(std::string_view text) {
  return !text.empty() &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

class Reader {
 public:
  explicit Reader(const fs::path& folder) : folder_(folder) {
    repo_.name = hub_repo_name(folder.filename().string()).value_or(folder.filename().string());
  }

  HubRepo read() {
    for (const fs::path& part : {folder_, folder_ / "refs", folder_ / "snapshots"}) {
      if (is_folder(part)) repo_.folders.push_back(part.string());
    }
    bool other_files = false;
    for (const fs::path& snapshot : snapshots()) {
      take_snapshot(snapshot, other_files);
    }
    choose();
    if (!repo_.files.empty() || !other_files || !broken_.empty()) look_for_unfinished();
    return std::move(repo_);
  }

 private:
  // The files of one model in one snapshot.
  struct Candidate {
    std::map<unsigned, HubRepo::File> parts;  // 0: the model has one file
  };
  using Key = std::pair<std::string, unsigned>;  // stem with its folder, number of parts

  template <typename... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    if (repo_.problems.size() < kMaxProblems) {
      repo_.problems.push_back(fmt::format(format, std::forward<Args>(args)...));
    }
  }

  // The snapshot that counts, and then the others, the newest first.
  std::vector<fs::path> snapshots() const {
    std::vector<fs::path> found;
    for (const fs::path& entry : entries_of(folder_ / "snapshots")) {
      if (is_folder(entry)) found.push_back(entry);
    }
    std::sort(found.begin(), found.end(), [](const fs::path& a, const fs::path& b) {
      std::error_code error;
      const auto time_a = fs::last_write_time(a, error);
      const auto time_b = fs::last_write_time(b, error);
      return std::pair(time_a, a) > std::pair(time_b, b);
    });
    if (found.size() > kMaxSnapshots) found.resize(kMaxSnapshots);
    const auto move_to_front = [&](const std::string& commit) {
      const auto it = std::find_if(found.begin(), found.end(),
                                   [&](const fs::path& snapshot) { return snapshot.filename() == commit; });
      if (it == found.end()) return false;
      std::rotate(found.begin(), it, it + 1);
      return true;
    };
    if (move_to_front(first_word(folder_ / "refs" / "main"))) return found;
    for (const fs::path& ref : entries_of(folder_ / "refs")) {
      if (!is_folder(ref) && move_to_front(first_word(ref))) break;
    }
    return found;
  }

  void take_snapshot(const fs::path& snapshot, bool& other_files) {
    std::map<Key, Candidate> here;
    read_folder(snapshot, "", 0, here, other_files);
    for (auto& [key, candidate] : here) candidates_[key].push_back(std::move(candidate));
  }

  void read_folder(const fs::path& folder, const std::string& prefix, unsigned depth, std::map<Key, Candidate>& here,
                   bool& other_files) {
    repo_.folders.push_back(folder.string());
    for (const fs::path& entry : entries_of(folder)) {
      const std::string name = entry.filename().string();
      if (is_folder(entry)) {
        if (depth < kMaxDepth && !name.starts_with('.')) {
          read_folder(entry, prefix + name + "/", depth + 1, here, other_files);
        }
      } else if (!is_gguf_file_name(name)) {
        other_files = true;
      } else if (usable(entry, prefix + name)) {
        const ModelFileName parsed = parse_model_file_name(name);
        here[{prefix + parsed.stem, parsed.parts}].parts.emplace(parsed.part, HubRepo::File{prefix + name, entry});
      }
    }
  }

  // Where a file of a snapshot may really be: in the snapshots, in the repository's blobs, or in the cache's store.
  bool is_own(const fs::path& real) const {
    const auto inside = [&real](const fs::path& folder) {
      const auto [in_folder, in_real] = std::mismatch(folder.begin(), folder.end(), real.begin(), real.end());
      return in_folder == folder.end() && in_real != real.end();
    };
    if (inside(folder_ / "snapshots") || inside(folder_ / "blobs")) return true;
    const fs::path group = real.parent_path().filename();
    return real.parent_path().parent_path() == folder_.parent_path() / "blobs" && group.string().size() == 2 &&
           is_hex(group.string()) && is_hex(real.filename().string());
  }

  bool usable(const fs::path& file, const std::string& name) {
    std::error_code error;
    const fs::path real = fs::canonical(file, error);
    if (error) {
      broken_.emplace(name,
                      fmt::format("{}: {} is not there: its link ends nowhere; fetch it again", repo_.name, name));
    } else if (!is_own(real)) {
      broken_.emplace(name, fmt::format("{}: {} is not used: its link leads out of the cache, to {}", repo_.name, name,
                                        real.string()));
    } else if (fs::is_regular_file(real, error)) {
      return true;
    }
    return false;
  }

  void choose() {
    for (const auto& [key, list] : candidates_) {
      const auto whole = [parts = key.second](const Candidate& candidate) {
        return candidate.parts.size() == std::max(parts, 1U);
      };
      const auto best = std::find_if(list.begin(), list.end(), whole);
      if (best == list.end()) {
        problem("{}: the model {} is incomplete: {} of its {} files are missing", repo_.name, key.first,
                key.second - list.front().parts.size(), key.second);
        continue;
      }
      for (const auto& [part, file] : best->parts) {
        repo_.files.push_back(file);
        broken_.erase(file.name);  // another snapshot has it
      }
    }
    for (const auto& [name, text] : broken_) problem("{}", text);
  }

  void look_for_unfinished() {
    const auto entries = entries_of(folder_ / "blobs");
    // The table of downloads shows the unfinished files of Minerva's own pulls.
    const auto unfinished = std::count_if(entries.begin(), entries.end(), [](const fs::path& e) {
      return e.extension() == ".incomplete" && !e.string().ends_with(".minerva.incomplete");
    });
    if (unfinished > 0) {
      problem("{}: {} of its downloads did not end (blobs/*.incomplete)", repo_.name, unfinished);
    }
  }

  fs::path folder_;
  HubRepo repo_;
  std::map<Key, std::vector<Candidate>> candidates_;  // the snapshot that counts comes first
  std::map<std::string, std::string> broken_;         // by name: why the file is not used
};

}  // namespace

std::optional<std::string> hub_repo_name(const std::string& folder_name) {
  if (!folder_name.starts_with(kPrefix) || folder_name.size() == kPrefix.size()) return std::nullopt;
  std::string name = folder_name.substr(kPrefix.size());
  if (const auto at = name.find("--"); at != std::string::npos) name.replace(at, 2, "/");
  return name;
}

bool is_hub_repo(const fs::path& folder) {
  return hub_repo_name(folder.filename().string()) && (is_folder(folder / "snapshots") || is_folder(folder / "blobs"));
}

bool is_hub_folder_of_others(const std::string& folder_name) {
  static constexpr std::array<std::string_view, 3> kOthers = {"datasets--", "spaces--", "kernels--"};
  return std::any_of(kOthers.begin(), kOthers.end(),
                     [&](std::string_view prefix) { return folder_name.starts_with(prefix); });
}

HubRepo read_hub_repo(const fs::path& folder) { return Reader(folder).read(); }

}  // namespace minerva
