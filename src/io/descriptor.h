// Descriptor: owns an open file, socket or folder of the kernel, and closes it when it is destroyed.
//
// Threading: any thread, one at a time. It reads and writes nothing by itself.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace minerva::io {

class Descriptor {
 public:
  // `fd`: negative where nothing is open, as open() returns it.
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    reset(other.release());
    return *this;
  }
  ~Descriptor() { reset(); }
  // Closes what it owns, and owns `fd`. errno stays.
  void reset(int fd = -1) {
    const int before = std::exchange(fd_, fd);
    if (before < 0) return;
    const int error = errno;
    ::close(before);
    errno = error;
  }
  explicit operator bool() const { return fd_ >= 0; }
  int operator*() const { return fd_; }
  // Gives the descriptor up: the caller closes it.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace minerva::io
