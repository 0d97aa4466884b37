// Files: the calls by which state reaches the disk, behind an interface, so that a test can let each of them fail and
// can forget what was not synced (failing_files.h). What is read is read by the kernel's own calls.
//
// Whoever keeps state in a file writes through this: StateFile, and the access trace. The images of parked models do
// not: an image is of no use to anybody but the process that made it, and has no name, so that nothing is left of it
// after a crash (engine/src/image.h). Nor do a runtime folder's socket and lock (host/runtime_folder.h): both are the
// living process's. What a pull fetches is proven by its hash instead (pull/placed.h).
//
// Threading: any thread; calls block. Each call is the kernel's of that name: the same results, and errno.
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
  // Also of a folder, to be synced.
  virtual Descriptor open(const std::string& path, int flags, mode_t mode) = 0;
  virtual ssize_t write(int fd, std::string_view bytes) = 0;
  virtual int truncate(int fd, std::uint64_t size) = 0;
  virtual int sync(int fd) = 0;
  // `flags`: of renameat2().
  virtual int rename(const std::string& from, const std::string& to, unsigned flags) = 0;
  virtual int link(const std::string& from, const std::string& to) = 0;
  virtual int unlink(const std::string& path) = 0;
};

// The kernel's.
Files& real_files();

}  // namespace minerva::io
