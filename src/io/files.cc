#include "io/files.h"

#include <fcntl.h>
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
  int unlink(const std::string& path) override { return ::unlink(path.c_str()); }
};

}  // namespace

Files& real_files() {
  static RealFiles files;
  return files;
}

}  // namespace minerva::io
