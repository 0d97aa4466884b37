// The Hugging Face cache: models--org--repo/{blobs,refs,snapshots}, in the layout of huggingface_hub and llama.cpp.
//
// Blocks on the file system; touches no state; any thread. It opens no model, downloads nothing and removes nothing.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace minerva {

// "org/repo" of "models--org--repo"; nothing for other names.
std::optional<std::string> hub_repo_name(const std::string& folder_name);
// Whether it is the folder of a repository, even if its first download is still under way.
bool is_hub_repo(const std::filesystem::path& folder);
// Whether a folder with that name beside such a repository belongs to the cache, but has no models: data sets, spaces,
// blobs, locks.
bool is_hub_folder_of_others(const std::string& folder_name);

struct HubRepo {
  struct File {
    std::string name;            // its name in the repository: "BF16/model-00001-of-00002.gguf"
    std::filesystem::path path;  // in its snapshot
  };
  std::string name;                   // "org/repo"
  std::vector<File> files;            // *.gguf; all parts of a model come from one snapshot
  std::vector<std::string> problems;  // links that lead nowhere or elsewhere, unfinished downloads
  std::vector<std::string> folders;   // where files may appear
};

// `folder`: the repository's folder, resolved. The snapshot of refs/main counts, else that of any ref, else the newest
// one. A model that is not complete there comes from the newest snapshot that has all of it.
HubRepo read_hub_repo(const std::filesystem::path& folder);

}  // namespace minerva
