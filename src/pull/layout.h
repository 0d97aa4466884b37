// HubLayout: where the Hugging Face cache keeps the files of a repository, in the layout of huggingface_hub 2.4 and
// llama.cpp: blobs/ETAG, snapshots/COMMIT/path (a relative link to a blob), refs/BRANCH (a commit), .locks/ beside it.
//
// Threading: any thread; the functions that write block. It fetches nothing, and removes nothing but a link that it
// replaces.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "io/descriptor.h"
#include "minerva/base/result.h"

namespace minerva::pull {

// The end of the names of files that are still being fetched.
inline constexpr std::string_view kPartEnding = ".minerva.incomplete";
// The folder for parts of files from other hosts. Hidden, so that no reader of the models folder takes one for a model.
std::filesystem::path parts_folder(const std::filesystem::path& models_dir);

class HubLayout {
 public:
  // `cache`: the cache's folder. Requires: is_repo_name(repo).
  HubLayout(std::filesystem::path cache, std::string_view repo);

  // All functions require an ETag of hex digits, a commit, and a safe path.
  std::filesystem::path blob(std::string_view etag) const { return folder_ / "blobs" / etag; }
  // The part of a blob that is here already. It has another name than the hub's own parts, which only the hub's library
  // can go on with.
  std::filesystem::path part(std::string_view etag) const;
  // A blob that may not be what it was, until it is proven again (placed.h).
  std::filesystem::path unproven(std::string_view etag) const;
  std::filesystem::path lock(std::string_view etag) const;
  std::filesystem::path snapshot(std::string_view commit, std::string_view path) const;
  std::filesystem::path ref(std::string_view revision) const { return folder_ / "refs" / revision; }
  const std::filesystem::path& folder() const { return folder_; }

  // Makes the folders for a blob and its lock. Errors: kIo.
  Result<void> make_folders() const;
  // Makes the snapshot's file a link to the blob, completely or not at all. Errors: kIo.
  Result<void> link(std::string_view commit, std::string_view path, std::string_view etag) const;
  // Writes that the branch is at that commit. No effect if the revision is a commit. Errors: kIo.
  Result<void> set_ref(std::string_view revision, std::string_view commit) const;

 private:
  std::filesystem::path folder_;
  std::filesystem::path locks_;
};

// Holds a file's lock against other programs while it exists (flock, as the hub's own library does).
class FileLock {
 public:
  // If another program has the lock, it is not owned; errno says more.
  explicit FileLock(const std::filesystem::path& path);
  bool owned() const { return owned_; }
  bool is_open() const { return bool{fd_}; }

 private:
  io::Descriptor fd_;  // which gives the lock back
  bool owned_ = false;
};

}  // namespace minerva::pull
