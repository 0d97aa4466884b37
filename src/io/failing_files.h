// FailingFiles: files for tests, on which a call fails where the test says so, and which can lose their power.
//
// It does each call on real files in a folder of the test's own, and keeps beside them what a disk is sure to have: of
// a file what it was at its last sync, of a folder the names at its last sync. The disk of a machine that loses its
// power may have more than that, or less order: so there are two losses, one of everything that was not synced, and one
// that keeps the names and loses the bytes, as a file system does that writes names first.
//
// Threading: any thread, one at a time. Cite: LevelDB's fault_injection_test.cc has the idea.
#pragma once

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "io/files.h"

namespace minerva::io {

class FailingFiles final : public Files {
 public:
  // `folder`: what is there now is on its disk.
  explicit FailingFiles(std::filesystem::path folder) : folder_(std::move(folder)) { take_all(); }

  // The `n`-th call from now on fails with `error`, and `also_after`: each one after that. A write then does half.
  void fail_at(int n, int error, bool also_after = false) {
    calls_ = 0;
    fail_at_ = n;
    error_ = error;
    also_after_ = also_after;
  }
  void fail_no_more() { fail_at_ = 0; }
  int calls() const { return calls_; }  // since fail_at()
  bool failed() const { return fail_at_ > 0 && calls_ >= fail_at_; }

  enum class Loss {
    kAll,    // of what was not synced
    kBytes,  // of those only: names that were not synced are there
  };
  // What a disk has after the machine lost its power: that is in the folder then.
  void lose_power(Loss loss) {
    std::map<std::filesystem::path, std::string> left;
    for (const auto& [path, file] : loss == Loss::kAll ? names_on_disk_ : names_) left[path] = bytes_on_disk_[file];
    for (const auto& [path, file] : names_) std::filesystem::remove(path);
    for (const auto& [path, text] : left) std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
    take_all();
  }

  Descriptor open(const std::string& path, int flags, mode_t mode) override {
    if (fails()) return Descriptor(-1);
    const bool is_new = ::access(path.c_str(), F_OK) != 0;
    Descriptor fd(::open(path.c_str(), flags, mode));
    if (fd && is_new) names_[path] = ++files_;
    if (fd) open_[*fd] = path;
    const auto has = [flags](int wanted) { return (flags & wanted) == wanted; };
    if (fd && has(O_TMPFILE)) {
      open_file_[*fd] = ++files_;
    } else if (fd && !has(O_DIRECTORY)) {
      open_file_[*fd] = names_[path];
    }
    return fd;
  }
  ssize_t write(int fd, std::string_view bytes) override {
    if (!fails()) return ::write(fd, bytes.data(), bytes.size());
    const int error = errno;
    if (bytes.size() > 1 && error == ENOSPC) return ::write(fd, bytes.data(), bytes.size() / 2);
    errno = error;
    return -1;
  }
  int truncate(int fd, std::uint64_t size) override { return fails() ? -1 : ::ftruncate(fd, static_cast<off_t>(size)); }
  int sync(int fd) override {
    if (fails()) return -1;
    struct stat status{};
    ::fstat(fd, &status);
    if (!S_ISDIR(status.st_mode)) {
      std::ostringstream text;
      text << std::ifstream("/proc/self/fd/" + std::to_string(fd), std::ios::binary).rdbuf();
      bytes_on_disk_[open_file_[fd]] = text.str();
      return 0;
    }
    const std::filesystem::path folder = open_[fd];
    std::erase_if(names_on_disk_, [&](const auto& name) { return name.first.parent_path() == folder; });
    for (const auto& name : names_) {
      if (name.first.parent_path() == folder) names_on_disk_.insert(name);
    }
    return 0;
  }
  int rename(const std::string& from, const std::string& to, unsigned flags) override {
    if (fails()) return -1;
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), flags) != 0) return -1;
    const auto moved = names_.extract(from);
    if (moved) names_[to] = moved.mapped();
    return 0;
  }
  int link(const std::string& from, const std::string& to) override {
    if (fails() || ::link(from.c_str(), to.c_str()) != 0) return -1;
    names_[to] = names_[from];
    return 0;
  }
  int link_open(int fd, const std::string& to) override {
    if (fails() || link_descriptor(fd, to) != 0) return -1;
    names_[to] = open_file_[fd];
    return 0;
  }
  int touch(const std::string& path) override {
    return fails() ? -1 : ::utimensat(AT_FDCWD, path.c_str(), nullptr, AT_SYMLINK_NOFOLLOW);
  }
  int unlink(const std::string& path) override {
    if (fails() || ::unlink(path.c_str()) != 0) return -1;
    names_.erase(path);
    return 0;
  }

 private:
  bool fails() {
    ++calls_;
    if (fail_at_ == 0 || (also_after_ ? calls_ < fail_at_ : calls_ != fail_at_)) return false;
    errno = error_;
    return true;
  }
  void take_all() {
    names_.clear();
    bytes_on_disk_.clear();
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_)) {
      if (!entry.is_regular_file()) continue;
      std::ostringstream text;
      text << std::ifstream(entry.path(), std::ios::binary).rdbuf();
      names_[entry.path()] = ++files_;
      bytes_on_disk_[files_] = text.str();
    }
    names_on_disk_ = names_;
  }

  std::filesystem::path folder_;
  int calls_ = 0;
  int fail_at_ = 0;  // 0: none
  int error_ = 0;
  bool also_after_ = false;
  int files_ = 0;                               // numbers given to files
  std::map<std::filesystem::path, int> names_;  // as they are, with the files that have them
  std::map<std::filesystem::path, int> names_on_disk_;
  std::map<int, std::string> bytes_on_disk_;  // of the files; none: nothing of it was synced
  std::map<int, std::string> open_;           // paths, by descriptor
  std::map<int, int> open_file_;              // files, by descriptor
};

}  // namespace minerva::io
