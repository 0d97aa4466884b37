// Files: the calls that bring state to the disk, behind an interface, so that a test can make each of them fail, and
// can forget what was not synced (failing_files.h). Reads use the kernel's calls directly.
//
// Code that keeps state in a file writes through this: StateFile, the access trace, and the
// conversations. Three things do not. The image
// of a parked model is of no use to any other process, and has no name, so nothing of it is left after a crash
// (engine/src/image.h). The socket and the lock of a runtime folder belong to the living process
// (host/runtime_folder.h). A pulled file is proven by its hash (pull/placed.h).
//
// Threading: any thread; calls block. Each call is the kernel's call with that name: the same results, and errno.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "io/descriptor.h"

namespace minerva::io {

class Files {
 public:
  virtual ~Files() = default;
  // Also opens a folder, so that it can be synced.
  virtual Descriptor open(const std::string& path, int flags, mode_t mode) = 0;
  virtual ssize_t write(int fd, std::string_view bytes) = 0;
  virtual int truncate(int fd, std::uint64_t size) = 0;
  virtual int sync(int fd) = 0;
  // `flags`: those of renameat2().
  virtual int rename(const std::string& from, const std::string& to, unsigned flags) = 0;
  virtual int link(const std::string& from, const std::string& to) = 0;
  // Gives a name to an open file, which may have none: linkat() on its entry in /proc.
  virtual int link_open(int fd, const std::string& to) = 0;
  virtual int unlink(const std::string& path) = 0;
  // Sets the file's times to now: utimensat().
  virtual int touch(const std::string& path) = 0;
};

// The kernel's call behind Files::link_open().
int link_descriptor(int fd, const std::string& to);

// The kernel's calls.
Files& real_files();

}  // namespace minerva::io
