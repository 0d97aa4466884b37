// What this process holds in memory, as the kernel counts it.
//
// Threading: one thread at a time.
#pragma once

#include <cstdint>
#include <optional>

namespace minerva::engine {

class OwnMemory {
  public:
    // Opens what it reads of /proc, so it works in a sandbox that is entered later.
    OwnMemory();
    ~OwnMemory();
    OwnMemory(const OwnMemory &) = delete;
    OwnMemory & operator=(const OwnMemory &) = delete;

    // Its anonymous pages, those that are swapped out among them: what no file can give back. Not its private dirty
    // pages, which are more: those of a mapped file that the disk does not have yet are the kernel's to write and to
    // drop. Kernels 6.2 to 6.16 may be off by some MiB on machines with many processors. Nothing if it cannot be read.
    std::optional<std::uint64_t> anonymous_bytes() const;

  private:
    int fd_;
};

}  // namespace minerva::engine
