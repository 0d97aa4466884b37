#include "read_ahead.h"

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

namespace minerva::engine {
namespace {

constexpr std::size_t kBytes = std::size_t{24} << 20;

// A file on disk, mapped as llama.cpp maps a model (`shared`) or as an image is.
class MappedFile {
 public:
  explicit MappedFile(bool shared) {
    std::string name = std::string(IMAGE_FOLDER) + "/read-ahead-XXXXXX";
    fd_ = mkstemp(name.data());
    std::filesystem::remove(name);
    const std::string text(kBytes, 'x');
    EXPECT_EQ(write(fd_, text.data(), kBytes), static_cast<ssize_t>(kBytes));
    data_ = static_cast<char*>(
        mmap(nullptr, kBytes, shared ? PROT_READ : PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE, fd_, 0));
  }
  ~MappedFile() {
    munmap(data_, kBytes);
    close(fd_);
  }
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  MappedPart part() const { return {data_, kBytes}; }

  void drop() const {
    EXPECT_EQ(fsync(fd_), 0);
    EXPECT_EQ(madvise(data_, kBytes, MADV_DONTNEED), 0);  // what is mapped stays
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

 private:
  int fd_ = -1;
  char* data_ = nullptr;
};

TEST(ReadAhead, WhatWasDroppedComesBackWithoutBeingTouched) {
  const MappedFile image(false);
  ReadAhead read_ahead;
  for (int round = 0; round < 3; ++round) {
    image.drop();
    ASSERT_LT(image.pages_in_memory(), kBytes / kPage / 2);
    read_ahead.start({image.part()}, 0);
    EXPECT_TRUE(image.comes_back());
    read_ahead.stop();
  }
}

TEST(ReadAhead, AMappedModelNeedNotBeNamed) {
  const MappedFile model(true);
  model.drop();
  ASSERT_LT(model.pages_in_memory(), kBytes / kPage / 2);
  ReadAhead read_ahead;
  read_ahead.start({}, kBytes / 4);
  EXPECT_TRUE(model.comes_back());
}

TEST(ReadAhead, TheFileOfCopiedWeightsStaysWhereItIs) {
  const MappedFile model(true);
  const MappedFile image(false);
  model.drop();
  image.drop();
  ASSERT_LT(model.pages_in_memory(), kBytes / kPage / 2);
  ReadAhead read_ahead;
  read_ahead.start({image.part()}, kBytes);
  EXPECT_TRUE(image.comes_back());
  EXPECT_LT(model.pages_in_memory(), kBytes / kPage / 2);
}

TEST(ReadAhead, WhatIsMappedInsteadComesToNoHarm) {
  ReadAhead read_ahead;
  for (int round = 0; round < 5; ++round) {
    const MappedFile file(false);
    file.drop();
    read_ahead.start({file.part()}, 0);
    read_ahead.stop();
    void* const fence = mmap(file.part().address, kBytes, PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(fence, MAP_FAILED);
  }
}

}  // namespace
}  // namespace minerva::engine
