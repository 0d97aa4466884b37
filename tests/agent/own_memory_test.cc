#include "own_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <string>

#include "plain_access.h"

namespace minerva::engine {
namespace {

constexpr std::size_t kMany = std::size_t{64} << 20;
constexpr std::uint64_t kSlack = std::uint64_t{4} << 20;

TEST(OwnMemory, AnonymousPagesCountOnceTheyAreTouched) {
  const OwnMemory memory;
  const std::uint64_t before = memory.anonymous_bytes().value();
  EXPECT_GT(before, 0U);
  char* const pages =
      static_cast<char*>(::mmap(nullptr, kMany, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
  ASSERT_NE(pages, MAP_FAILED);
  EXPECT_LT(memory.anonymous_bytes().value(), before + kSlack);
  write_plainly(pages, kMany, 1);
  EXPECT_GE(memory.anonymous_bytes().value() + kSlack, before + kMany);
  EXPECT_LE(memory.anonymous_bytes().value(), before + kMany + kSlack);
  ::munmap(pages, kMany);
  EXPECT_LT(memory.anonymous_bytes().value(), before + kSlack);
}

TEST(OwnMemory, PagesOfFilesDoNotCountUntilTheyAreWrittenTo) {
  std::string path = IMAGE_FOLDER "/own-memory-XXXXXX";
  const int fd = ::mkstemp(path.data());
  ASSERT_GE(fd, 0);
  ::unlink(path.c_str());
  // These pages are most likely still on their way to the disk.
  const std::string data(kMany, 'x');
  ASSERT_EQ(::write(fd, data.data(), data.size()), static_cast<ssize_t>(kMany));
  char* const pages = static_cast<char*>(::mmap(nullptr, kMany, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0));
  ASSERT_NE(pages, MAP_FAILED);
  const OwnMemory memory;
  const std::uint64_t before = memory.anonymous_bytes().value();
  ASSERT_TRUE(reads_plainly(pages, kMany, 'x'));
  EXPECT_LT(memory.anonymous_bytes().value(), before + kSlack);
  write_plainly(pages, kMany, 'y');
  EXPECT_GE(memory.anonymous_bytes().value() + kSlack, before + kMany);
  ::munmap(pages, kMany);
  ::close(fd);
}

}  // namespace
}  // namespace minerva::engine
