// What this process holds in memory, as the kernel counts it.
//
// Threading: one thread at a time.
#pragma once

#include <cstdint>
#include <optional>

namespace minerva::engine {

class OwnMemory {
  public:
    // Opens the files in /proc that it reads, so that it works in a sandbox that is entered later.
    OwnMemory();
    ~OwnMemory();
    OwnMemory(const OwnMemory &) = delete;
    OwnMemory & operator=(const OwnMemory &) = delete;

    // The anonymous pages of this process, including those in swap: no file can give these back. Private dirty pages
    // are more: they include pages of a mapped file that the disk does not have yet, which the kernel can write and
    // drop. Kernels 6.2 to 6.16 may be off by some MiB on machines with many processors. Nothing if it cannot be read.
    std::optional<std::uint64_t> anonymous_bytes() const;

  private:
    int fd_;
};

}  // namespace minerva::engine
