#include "conversations/disk.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

#include "conversations/folder_name.h"

namespace minerva::conversations {
namespace {

namespace fs = std::filesystem;

// ".new-123-4": the fourth temporary of process 123.
constexpr std::string_view kTemporary = ".new-";

bool is_temporary(std::string_view name) {
  return name.starts_with(kTemporary) &&
         name.find_first_not_of("0123456789-", kTemporary.size()) == std::string_view::npos;
}

std::string new_temporary(const std::string& folder) {
  static std::atomic<std::uint64_t> made = 0;
  return fmt::format("{}/{}{}-{}", folder, kTemporary, ::getpid(), ++made);
}

WallTime changed_at(const struct stat& status) {
  using std::chrono::duration_cast;
  using std::chrono::nanoseconds;
  using std::chrono::seconds;
  return WallTime(
      duration_cast<WallTime::duration>(seconds(status.st_mtim.tv_sec) + nanoseconds(status.st_mtim.tv_nsec)));
}

// The names in a folder of this user's. `root`: the folder of all conversations, which may be a link to another disk;
// other links are somebody else's.
std::vector<std::string> names_in(const std::string& folder, bool root = false) {
  std::vector<std::string> names;
  struct stat status{};
  const int error_of_look = root ? ::stat(folder.c_str(), &status) : ::lstat(folder.c_str(), &status);
  if (error_of_look != 0 || !S_ISDIR(status.st_mode) || status.st_uid != ::geteuid()) return names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error)) {
    names.push_back(it->path().filename().string());
  }
  return names;
}

bool is_own_file(const std::string& path, struct stat& status) {
  return ::lstat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && status.st_uid == ::geteuid();
}

void find_in(const std::string& root, const Place& place, SegmentTable::Segments& found) {
  const std::string folder = fmt::format("{}/{}/{}", root, place.folder, place.tenant);
  for (const std::string& text : names_in(folder)) {
    const auto name = protocol::parse_segment_name(text);
    struct stat status{};
    if (!name || !is_own_file(fmt::format("{}/{}", folder, text), status)) continue;
    found.push_back({place, {*name, Bytes(static_cast<std::uint64_t>(status.st_size)), changed_at(status)}});
  }
  ::rmdir(folder.c_str());  // if it is empty
}

}  // namespace

FoundOnDisk find_segments(const std::string& root, io::Files& files) {
  FoundOnDisk found;
  for (const std::string& folder : names_in(root, /*root=*/true)) {
    if (!model_of_folder(folder)) continue;
    const std::string path = fmt::format("{}/{}", root, folder);
    for (const std::string& name : names_in(path)) {
      struct stat status{};
      const std::string inside = fmt::format("{}/{}", path, name);
      if (protocol::is_tenant(name)) find_in(root, {folder, name}, found.segments);
      if (is_temporary(name) && is_own_file(inside, status)) files.unlink(inside);
    }
  }
  found.free = free_on_disk(root);
  return found;
}

Bytes free_on_disk(const std::string& folder) {
  fs::path path(folder);
  struct statvfs status{};
  while (::statvfs(path.c_str(), &status) != 0) {
    if (!path.has_relative_path()) return Bytes(0);
    path = path.parent_path();
  }
  return Bytes(std::uint64_t{status.f_bavail} * status.f_frsize);
}

bool make_folder(const std::string& root, const std::string& name) {
  const auto make = [](const std::string& path) {
    if (::mkdir(path.c_str(), 0700) == 0) return true;
    struct stat status{};
    if (errno != EEXIST || ::stat(path.c_str(), &status) != 0) return false;
    const bool is_ours = S_ISDIR(status.st_mode) && status.st_uid == ::geteuid();
    if (!is_ours) errno = S_ISDIR(status.st_mode) ? EPERM : ENOTDIR;
    return is_ours && ((status.st_mode & 077U) == 0 || ::chmod(path.c_str(), 0700) == 0);
  };
  return make(root) && make(fmt::format("{}/{}", root, name));
}

NewFile NewFile::make(const std::string& folder, io::Files& files) {
  io::Descriptor file = files.open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  // EISDIR: the kernel is older than O_TMPFILE.
  if (file || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)) return {files, std::move(file), {}};
  std::string path = new_temporary(folder);
  file = files.open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0600);
  if (!file) path.clear();
  return {files, std::move(file), std::move(path)};
}

NewFile::~NewFile() {
  if (!temporary_.empty()) files_->unlink(temporary_);
}

Bytes NewFile::size() const {
  struct stat status{};
  return ::fstat(*file_, &status) == 0 ? Bytes(static_cast<std::uint64_t>(status.st_size)) : Bytes();
}

int NewFile::keep(const std::string& folder, const std::string& name) {
  if (files_->sync(*file_) != 0) return errno;
  const bool made = ::mkdir(folder.c_str(), 0700) == 0;
  if (!made && errno != EEXIST) return errno;
  if (const int error = give_name(fmt::format("{}/{}", folder, name)); error != 0) return error;
  const auto sync_folder = [this](const std::string& path) {
    const io::Descriptor opened = files_->open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    return opened && files_->sync(*opened) == 0;
  };
  const bool synced = sync_folder(folder) && (!made || sync_folder(fs::path(folder).parent_path().string()));
  return synced ? 0 : errno;
}

int NewFile::give_name(const std::string& path) {
  if (temporary_.empty()) {
    if (files_->link_open(*file_, path) == 0) return 0;
    if (errno != EEXIST) return errno;
    // A rename leaves the old file or the new one, whatever fails.
    std::string between = new_temporary(fs::path(path).parent_path().parent_path().string());
    if (files_->link_open(*file_, between) != 0) return errno;
    temporary_ = std::move(between);
  }
  if (files_->rename(temporary_, path, 0) != 0) return errno;
  temporary_.clear();
  return 0;
}

NotRemoved remove_files(const std::string& root, const std::vector<std::string>& paths, bool folders,
                        io::Files& files) {
  NotRemoved left;
  for (const std::string& path : paths) {
    if (files.unlink(path) == 0 || errno == ENOENT || errno == ENOTDIR) continue;
    if (left.paths.empty()) left.error = errno;
    left.paths.insert(path);
  }
  if (!folders) return left;
  for (const std::string& folder : names_in(root, /*root=*/true)) {
    if (!model_of_folder(folder)) continue;
    const std::string path = fmt::format("{}/{}", root, folder);
    for (const std::string& tenant : names_in(path)) {
      if (protocol::is_tenant(tenant)) ::rmdir(fmt::format("{}/{}", path, tenant).c_str());
    }
    ::rmdir(path.c_str());
  }
  ::rmdir(root.c_str());
  return left;
}

}  // namespace minerva::conversations
