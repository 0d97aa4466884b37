// The Hugging Face cache: models--org--repo/{blobs,refs,snapshots}, as huggingface_hub and llama.cpp lay it out.
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
// Whether it is the folder of a repository, also of one whose first download goes on.
bool is_hub_repo(const std::filesystem::path& folder);
// Whether a folder of that name beside such a repository is the cache's own: data sets, spaces, blobs, locks.
bool is_hub_folder_of_others(const std::string& folder_name);

struct HubRepo {
  struct File {
    std::string name;            // as the repository calls it: "BF16/model-00001-of-00002.gguf"
    std::filesystem::path path;  // in its snapshot
  };
  std::string name;                   // "org/repo"
  std::vector<File> files;            // *.gguf; all parts of a model from one snapshot
  std::vector<std::string> problems;  // links that end nowhere or elsewhere, downloads that did not end
  std::vector<std::string> folders;   // where files may appear
};

// `folder`: the repository's, resolved. The snapshot of refs/main counts, else that of any ref, else the newest; a
// model that is not whole there comes from the newest snapshot that has all of it.
HubRepo read_hub_repo(const std::filesystem::path& folder);

}  // namespace minerva
