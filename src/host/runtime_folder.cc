#include "host/runtime_folder.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

namespace minerva {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "minerva-";
constexpr std::string_view kLock = "/lock";

Failure cannot_make(const std::string& base) {
  return fail(ErrorCode::kIo, fmt::format("cannot make a folder for sockets in {}: {}.", base, std::strerror(errno)));
}

// The file gets its name only once it is locked: one that can be locked belongs to a process that is gone.
int make_lock(const std::string& folder) {
  const std::string name = folder + std::string(kLock);
  const std::string unlocked = name + ".new";
  const int lock = ::open(unlocked.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (lock < 0) return -1;
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0 && ::rename(unlocked.c_str(), name.c_str()) == 0) return lock;
  const int error = errno;
  ::close(lock);
  errno = error;
  return -1;
}

void remove_if_abandoned(const std::string& folder) {
  struct stat info{};
  // In /tmp there may be folders of others.
  if (::lstat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode) || info.st_uid != ::geteuid()) return;
  const int lock = ::open((folder + std::string(kLock)).c_str(), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (lock < 0) return;
  std::error_code ignored;
  if (::flock(lock, LOCK_EX | LOCK_NB) == 0) fs::remove_all(folder, ignored);
  ::close(lock);
}

void remove_abandoned(const std::string& base) {
  std::error_code error;
  for (fs::directory_iterator it(base, error), end; !error && it != end; it.increment(error)) {
    if (it->path().filename().string().starts_with(kPrefix)) remove_if_abandoned(it->path().string());
  }
}

}  // namespace

Result<RuntimeFolder> RuntimeFolder::make() {
  const char* const configured = std::getenv("XDG_RUNTIME_DIR");
  const std::string base = configured == nullptr || ::access(configured, W_OK) != 0 ? "/tmp" : configured;
  remove_abandoned(base);
  std::string path = fmt::format("{}/{}XXXXXX", base, kPrefix);
  if (::mkdtemp(path.data()) == nullptr) return cannot_make(base);
  RuntimeFolder folder(std::move(path), -1);
  folder.lock_ = make_lock(folder.path_);
  if (folder.lock_ < 0) return cannot_make(base);
  return folder;
}

RuntimeFolder::RuntimeFolder(RuntimeFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::exchange(other.lock_, -1)) {}

RuntimeFolder::~RuntimeFolder() {
  std::error_code ignored;
  if (!path_.empty()) fs::remove_all(path_, ignored);
  if (lock_ >= 0) ::close(lock_);
}

}  // namespace minerva
