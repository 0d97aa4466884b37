// slow_disk.so: preloaded into a daemon, it makes the disk answer only when a test allows it. While the folder that
// SLOW_DISK names has a file "fsync", fsync() does not return. While it has a file "stat", a look at a model's file
// (*.gguf) does not return. It uses system calls only, so that it works under sanitizers.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string_view>

namespace {

void wait_while_there_is(const char* file) {
  const char* const name = std::getenv("SLOW_DISK");
  if (name == nullptr) return;
  const long folder = ::syscall(SYS_openat, AT_FDCWD, name, O_PATH | O_CLOEXEC);
  if (folder < 0) return;
  const timespec pause{0, 1'000'000};
  while (::syscall(SYS_faccessat, folder, file, F_OK) == 0) ::syscall(SYS_nanosleep, &pause, nullptr);
  ::syscall(SYS_close, folder);
}

}  // namespace

extern "C" {

int fsync(int file) {
  wait_while_there_is("fsync");
  return static_cast<int>(::syscall(SYS_fsync, file));
}

int stat(const char* path, struct stat* status) noexcept {
  if (std::string_view(path).ends_with(".gguf")) wait_while_there_is("stat");
  return static_cast<int>(::syscall(SYS_newfstatat, AT_FDCWD, path, status, 0));
}

}  // extern "C"
