// For fuzz targets: splits an input, and holds one in a file.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "minerva/base/check.h"

namespace minerva::fuzz {

// The first byte steers the target (the size of pieces, which parser). The rest is what the target reads.
struct Input {
  std::uint8_t steer = 0;
  std::string_view text;

  Input(const std::uint8_t* data, std::size_t size) {
    if (size == 0) return;
    steer = data[0];
    text = std::string_view(reinterpret_cast<const char*>(data) + 1, size - 1);
  }
};

// Calls take(piece) for pieces of `text` of at most `size` bytes (0: all at once). Each piece is a copy, so that the
// sanitizer sees a read past its end.
template <typename Take>
void in_pieces(std::string_view text, std::size_t size, Take take) {
  if (size == 0) size = text.size();
  while (!text.empty()) {
    const std::string piece(text.substr(0, size));
    text.remove_prefix(piece.size());
    take(std::string_view(piece));
  }
}

// A file in memory, without a name on any disk.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view content) : fd_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    check(fd_ >= 0, "no memory file");
    while (!content.empty()) {
      const ssize_t written = ::write(fd_, content.data(), content.size());
      check(written > 0, "the memory file takes no bytes");
      content.remove_prefix(static_cast<std::size_t>(written));
    }
  }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  ~MemoryFile() { ::close(fd_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace minerva::fuzz
