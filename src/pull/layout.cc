#include "pull/layout.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "pull/asked.h"

namespace minerva::pull {
namespace {

namespace fs = std::filesystem;

Failure cannot(std::string_view what, const fs::path& path, const std::string& why) {
  return fail(ErrorCode::kIo,
              fmt::format("cannot {} {}: {}. Check the folder's owner and mode, and that the server may write there.",
                          what, path.string(), why));
}

// Renames `aside` to `path`, or removes it.
Result<void> put(const fs::path& aside, const fs::path& path) {
  std::error_code error;
  fs::rename(aside, path, error);
  if (!error) return {};
  std::error_code ignored;
  fs::remove(aside, ignored);
  return cannot("make", path, error.message());
}

}  // namespace

fs::path parts_folder(const fs::path& models_dir) { return models_dir / ".minerva-pull"; }

HubLayout::HubLayout(fs::path cache, std::string_view repo) {
  std::string name = "models--" + std::string(repo);
  if (const auto slash = name.find('/'); slash != std::string::npos) name.replace(slash, 1, "--");
  folder_ = cache / name;
  locks_ = cache / ".locks" / name;
}

fs::path HubLayout::part(std::string_view etag) const {
  return folder_ / "blobs" / fmt::format("{}{}", etag, kPartEnding);
}

fs::path HubLayout::unproven(std::string_view etag) const {
  return folder_ / "blobs" / fmt::format("{}.minerva.unproven", etag);
}

fs::path HubLayout::lock(std::string_view etag) const { return locks_ / fmt::format("{}.lock", etag); }

fs::path HubLayout::snapshot(std::string_view commit, std::string_view path) const {
  return folder_ / "snapshots" / commit / path;
}

Result<void> HubLayout::make_folders() const {
  for (const fs::path& folder : {folder_ / "blobs", locks_}) {
    std::error_code error;
    fs::create_directories(folder, error);
    if (error) return cannot("make", folder, error.message());
  }
  return {};
}

Result<void> HubLayout::link(std::string_view commit, std::string_view path, std::string_view etag) const {
  const fs::path file = snapshot(commit, path);
  std::error_code error;
  fs::create_directories(file.parent_path(), error);
  if (error) return cannot("make", file.parent_path(), error.message());
  // The way out of snapshots/COMMIT and the folders of the path.
  fs::path target = "../..";
  for (auto depth = std::count(path.begin(), path.end(), '/'); depth > 0; --depth) target /= "..";
  target = target / "blobs" / etag;
  if (fs::read_symlink(file, error) == target) return {};
  // The name is hidden, so that no reader of the cache takes it for a model.
  const fs::path aside = file.parent_path() / fmt::format(".{}.minerva", file.filename().string());
  fs::remove(aside, error);
  fs::create_symlink(target, aside, error);
  if (error) return cannot("link", file, error.message());
  return put(aside, file);
}

Result<void> HubLayout::set_ref(std::string_view revision, std::string_view commit) const {
  if (is_commit(revision)) return {};
  const fs::path ref = this->ref(revision);
  std::error_code error;
  fs::create_directories(ref.parent_path(), error);
  if (error) return cannot("make", ref.parent_path(), error.message());
  const fs::path aside = ref.parent_path() / fmt::format(".{}.minerva", ref.filename().string());
  {
    // Without a line end, since the hub's own library expects none.
    std::ofstream file(aside, std::ios::trunc);
    file << commit;
    if (!file.flush()) return cannot("write", ref, std::strerror(errno));
  }
  return put(aside, ref);
}

FileLock::FileLock(const fs::path& path) : fd_(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644)) {
  owned_ = fd_ && ::flock(*fd_, LOCK_EX | LOCK_NB) == 0;
}

}  // namespace minerva::pull
