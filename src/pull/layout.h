// HubLayout: where the Hugging Face cache keeps a repository's files, as huggingface_hub 2.4 and llama.cpp lay it out:
// blobs/ETAG, snapshots/COMMIT/path (a relative link to a blob), refs/BRANCH (a commit), .locks/ beside it.
//
// Threading: any thread; those that write block. It fetches nothing and removes nothing but a link that it replaces.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "io/descriptor.h"
#include "minerva/base/result.h"

namespace minerva::pull {

// What the names of files end in that are still being fetched.
inline constexpr std::string_view kPartEnding = ".minerva.incomplete";
// Where those of other hosts are. Hidden: no reader of the models folder takes one for a model.
std::filesystem::path parts_folder(const std::filesystem::path& models_dir);

class HubLayout {
 public:
  // `cache`: the cache's folder. Requires: is_repo_name(repo).
  HubLayout(std::filesystem::path cache, std::string_view repo);

  // Requires of all: an ETag of hex digits, a commit, a safe path.
  std::filesystem::path blob(std::string_view etag) const { return folder_ / "blobs" / etag; }
  // What of it is here already. Another name than the hub's own parts: those cannot be gone on with by anybody else.
  std::filesystem::path part(std::string_view etag) const;
  // A blob that may not be what it was, until it is proven again (placed.h).
  std::filesystem::path unproven(std::string_view etag) const;
  std::filesystem::path lock(std::string_view etag) const;
  std::filesystem::path snapshot(std::string_view commit, std::string_view path) const;
  std::filesystem::path ref(std::string_view revision) const { return folder_ / "refs" / revision; }
  const std::filesystem::path& folder() const { return folder_; }

  // Makes the folders for a blob and its lock. Errors: kIo.
  Result<void> make_folders() const;
  // Makes the snapshot's file a link to the blob, at once or not at all. Errors: kIo.
  Result<void> link(std::string_view commit, std::string_view path, std::string_view etag) const;
  // The branch is at that commit. No effect for a revision that is a commit. Errors: kIo.
  Result<void> set_ref(std::string_view revision, std::string_view commit) const;

 private:
  std::filesystem::path folder_;
  std::filesystem::path locks_;
};

// A file's lock between programs, as long as it lives (flock, as the hub's own has it).
class FileLock {
 public:
  // Not owned if another program has it; errno then.
  explicit FileLock(const std::filesystem::path& path);
  bool owned() const { return owned_; }
  bool is_open() const { return bool{fd_}; }

 private:
  io::Descriptor fd_;  // which gives the lock back
  bool owned_ = false;
};

}  // namespace minerva::pull
