// slow_disk.so: preloaded into a daemon, it makes the disk answer only when a test allows it. While the folder that
// SLOW_DISK names has a file "fsync", fsync() does not return. While it has a file "stat", a look at a model's file
// (*.gguf) does not return. While it has a file "slow", each call that writes to the disk or changes a folder takes a
// second. It uses system calls only, so that it works under sanitizers.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string_view>

namespace {

// -1: not in use.
long folder_of_test() {
  const char* const name = std::getenv("SLOW_DISK");
  return name == nullptr ? -1 : ::syscall(SYS_openat, AT_FDCWD, name, O_PATH | O_CLOEXEC);
}

void wait_while_there_is(const char* file) {
  const long folder = folder_of_test();
  if (folder < 0) return;
  const timespec pause{0, 1'000'000};
  while (::syscall(SYS_faccessat, folder, file, F_OK) == 0) ::syscall(SYS_nanosleep, &pause, nullptr);
  ::syscall(SYS_close, folder);
}

void take_a_second_if_slow() {
  const long folder = folder_of_test();
  if (folder < 0) return;
  const timespec second{1, 0};
  if (::syscall(SYS_faccessat, folder, "slow", F_OK) == 0) ::syscall(SYS_nanosleep, &second, nullptr);
  ::syscall(SYS_close, folder);
}

}  // namespace

extern "C" {

int fsync(int file) {
  wait_while_there_is("fsync");
  take_a_second_if_slow();
  return static_cast<int>(::syscall(SYS_fsync, file));
}

int stat(const char* path, struct stat* status) noexcept {
  if (std::string_view(path).ends_with(".gguf")) wait_while_there_is("stat");
  return static_cast<int>(::syscall(SYS_newfstatat, AT_FDCWD, path, status, 0));
}

int linkat(int from_folder, const char* from, int to_folder, const char* to, int flags) noexcept {
  take_a_second_if_slow();
  return static_cast<int>(::syscall(SYS_linkat, from_folder, from, to_folder, to, flags));
}

int unlink(const char* path) noexcept {
  take_a_second_if_slow();
  return static_cast<int>(::syscall(SYS_unlinkat, AT_FDCWD, path, 0));
}

int mkdir(const char* path, mode_t mode) noexcept {
  take_a_second_if_slow();
  return static_cast<int>(::syscall(SYS_mkdirat, AT_FDCWD, path, mode));
}

}  // extern "C"
