// Descriptor: owns an open file, socket or folder of the kernel, and closes it when it is destroyed.
//
// Threading: any thread, one at a time. It reads and writes nothing by itself.
#pragma once

#include <unistd.h>

#include <utility>

namespace minerva::io {

class Descriptor {
 public:
  // `fd`: negative where nothing is open, as open() returns it.
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  explicit operator bool() const { return fd_ >= 0; }
  int operator*() const { return fd_; }
  // Gives the descriptor up: the caller closes it.
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

}  // namespace minerva::io
