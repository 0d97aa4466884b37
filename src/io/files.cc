#include "io/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>

namespace minerva::io {
namespace {

class RealFiles final : public Files {
 public:
  Descriptor open(const std::string& path, int flags, mode_t mode) override {
    return Descriptor(::open(path.c_str(), flags, mode));
  }
  ssize_t write(int fd, std::string_view bytes) override { return ::write(fd, bytes.data(), bytes.size()); }
  int truncate(int fd, std::uint64_t size) override { return ::ftruncate(fd, static_cast<off_t>(size)); }
  int sync(int fd) override { return ::fsync(fd); }
  int rename(const std::string& from, const std::string& to, unsigned flags) override {
    return ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags);
  }
  int link(const std::string& from, const std::string& to) override { return ::link(from.c_str(), to.c_str()); }
  int link_open(int fd, const std::string& to) override { return link_descriptor(fd, to); }
  int unlink(const std::string& path) override { return ::unlink(path.c_str()); }
  int touch(const std::string& path) override {
    return ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  }
};

}  // namespace

int link_descriptor(int fd, const std::string& to) {
  const std::string entry = "/proc/self/fd/" + std::to_string(fd);
  return ::linkat(AT_FDCWD, entry.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW);
}

Files& real_files() {
  static RealFiles files;
  return files;
}

}  // namespace minerva::io
