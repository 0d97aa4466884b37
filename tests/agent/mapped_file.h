// MappedFile: a file on disk that a test has mapped, whose pages come into memory and leave it.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "image.h"
#include "mapped_files.h"

namespace minerva::engine {

inline constexpr std::size_t kBytes = std::size_t{24} << 20;

// A file on disk. It is mapped as llama.cpp maps a model (`shared`), or as an image is mapped.
class MappedFile {
 public:
  explicit MappedFile(bool shared) {
    name_ = std::string(IMAGE_FOLDER) + "/mapped-XXXXXX";
    fd_ = mkstemp(name_.data());
    const std::string text(kBytes, 'x');
    EXPECT_EQ(write(fd_, text.data(), kBytes), static_cast<ssize_t>(kBytes));
    data_ = static_cast<char*>(
        mmap(nullptr, kBytes, shared ? PROT_READ : PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd_, 0));
  }
  ~MappedFile() {
    munmap(data_, kBytes);
    close(fd_);
    std::filesystem::remove(name_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  MappedPart part() const { return {data_, kBytes}; }
  int descriptor() const { return fd_; }
  const std::string& name() const { return name_; }

  void drop() const {
    EXPECT_EQ(fsync(fd_), 0);
    EXPECT_EQ(madvise(data_, kBytes, MADV_DONTNEED), 0);  // the page cache keeps what is mapped
    EXPECT_EQ(posix_fadvise(fd_, 0, 0, POSIX_FADV_DONTNEED), 0);
  }

  std::size_t pages_in_memory() const {
    std::vector<unsigned char> there(kBytes / kPage);
    EXPECT_EQ(mincore(data_, kBytes, there.data()), 0);
    return static_cast<std::size_t>(
        std::count_if(there.begin(), there.end(), [](auto page) { return (page & 1) != 0; }));
  }

  bool comes_back() const {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (pages_in_memory() < kBytes / kPage && std::chrono::steady_clock::now() < end) std::this_thread::yield();
    return pages_in_memory() == kBytes / kPage;
  }

  // Whether the page at this MiB is in memory.
  bool in_memory(std::size_t mib) const {
    unsigned char there = 0;
    EXPECT_EQ(mincore(data_ + (mib << 20), 1, &there), 0);
    return (there & 1) != 0;
  }

 private:
  std::string name_;
  int fd_ = -1;
  char* data_ = nullptr;
};

}  // namespace minerva::engine
