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
#include <string_view>
#include <utility>
#include <vector>

#include "io/descriptor.h"

namespace minerva {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "minerva-";
constexpr std::size_t kRandom = 6;  // the characters that mkdtemp draws
constexpr const char* kLock = "lock";
constexpr const char* kNewLock = "lock.new";
// How the lock's first line begins.
constexpr std::string_view kLockBegins = "minerva sockets of process ";

Failure cannot_make(const std::string& base) {
  return fail(ErrorCode::kIo, fmt::format("cannot make a folder for sockets in {}: {}.", base, std::strerror(errno)));
}

io::Descriptor open_folder(const std::string& path) {
  return io::Descriptor(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
}

// Makes the lock file, and gives it its name only once it is written and locked. So whoever can lock it later knows
// that its process is gone. On failure the descriptor is empty and errno holds the reason.
io::Descriptor make_lock(const std::string& path) {
  const io::Descriptor folder = open_folder(path);
  io::Descriptor lock(::openat(*folder, kNewLock, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  const std::string line = fmt::format("{}{}\n", kLockBegins, ::getpid());
  const bool made = lock && ::write(*lock, line.data(), line.size()) == static_cast<ssize_t>(line.size()) &&
                    ::flock(*lock, LOCK_EX | LOCK_NB) == 0 && ::renameat(*folder, kNewLock, *folder, kLock) == 0;
  return made ? std::move(lock) : io::Descriptor();
}

// Whether the file has the form of a lock that make_lock() made.
bool is_lock(int file) {
  struct stat info{};
  std::string begin(kLockBegins.size(), '\0');
  return ::fstat(file, &info) == 0 && S_ISREG(info.st_mode) && info.st_uid == ::geteuid() &&
         ::pread(file, begin.data(), begin.size(), 0) == static_cast<ssize_t>(begin.size()) && begin == kLockBegins;
}

// "123-4.sock", see fresh_socket() in engine/engine_surroundings.h.
bool is_sockets_name(std::string_view name) {
  constexpr std::string_view kEnd = ".sock";
  constexpr std::string_view kDigits = "0123456789";
  if (!name.ends_with(kEnd)) return false;
  name.remove_suffix(kEnd.size());
  const std::size_t dash = name.find_first_not_of(kDigits);
  return dash != 0 && dash < name.size() && name[dash] == '-' && dash + 1 < name.size() &&
         name.find_first_not_of(kDigits, dash + 1) == std::string_view::npos;
}

// Removes the sockets and the lock, and the folder if nothing else is in it.
void remove_what_is_ours(const std::string& path) {
  const io::Descriptor folder = open_folder(path);
  if (!folder) return;
  std::vector<std::string> sockets;
  std::error_code error;
  for (fs::directory_iterator it(path, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    struct stat info{};
    const bool socket = ::fstatat(*folder, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0 && S_ISSOCK(info.st_mode);
    if (socket && is_sockets_name(name)) sockets.push_back(name);
  }
  for (const std::string& name : sockets) ::unlinkat(*folder, name.c_str(), 0);
  ::unlinkat(*folder, kLock, 0);
  ::rmdir(path.c_str());
}

// Removes the folder only if it belonged to a process that is gone. Everything else stays untouched: /tmp may hold
// anything of anybody.
void remove_if_abandoned(const std::string& path) {
  const io::Descriptor folder = open_folder(path);
  struct stat info{};
  if (!folder || ::fstat(*folder, &info) != 0 || info.st_uid != ::geteuid() || (info.st_mode & 07777U) != 0700) return;
  const io::Descriptor lock(::openat(*folder, kLock, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (lock && is_lock(*lock) && ::flock(*lock, LOCK_EX | LOCK_NB) == 0) remove_what_is_ours(path);
}

void remove_abandoned(const std::string& base) {
  std::error_code error;
  for (fs::directory_iterator it(base, error), end; !error && it != end; it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(kPrefix) && name.size() == kPrefix.size() + kRandom) remove_if_abandoned(it->path().string());
  }
}

}  // namespace

Result<RuntimeFolder> RuntimeFolder::make() {
  const char* const configured = std::getenv("XDG_RUNTIME_DIR");
  const std::string base = configured == nullptr || ::access(configured, W_OK) != 0 ? "/tmp" : configured;
  remove_abandoned(base);
  std::string path = fmt::format("{}/{}{}", base, kPrefix, std::string(kRandom, 'X'));
  if (::mkdtemp(path.data()) == nullptr) return cannot_make(base);
  RuntimeFolder folder(std::move(path));
  folder.lock_ = make_lock(folder.path_);
  if (!folder.lock_) return cannot_make(base);
  return folder;
}

RuntimeFolder::RuntimeFolder(RuntimeFolder&& other) noexcept
    : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}

RuntimeFolder::~RuntimeFolder() {
  if (lock_) {
    remove_what_is_ours(path_);
  } else if (!path_.empty()) {  // the lock could not be made
    ::unlink(fmt::format("{}/{}", path_, kNewLock).c_str());
    ::rmdir(path_.c_str());
  }
}

}  // namespace minerva
