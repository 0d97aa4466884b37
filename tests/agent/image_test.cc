#include "image.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <random>
#include <string>
#include <vector>

#include "full_disk.h"

namespace minerva::engine {
namespace {

std::unique_ptr<Image> make_image() {
  std::string why;
  auto image = Image::create(IMAGE_FOLDER, why);
  EXPECT_TRUE(image) << why;
  return image;
}

std::string pages_of(char letter, std::size_t count) { return std::string(count * kPage, letter); }

std::uint64_t disk_bytes(const Image& image) {
  struct stat status{};
  EXPECT_EQ(::fstat(image.descriptor(), &status), 0);
  return static_cast<std::uint64_t>(status.st_blocks) * 512;
}

// The stored pages that the file has, and those that it lacks.
struct Found {
  std::vector<std::size_t> held;
  std::vector<std::size_t> damaged;
};

Found hold_against(const Image& image, const std::vector<std::uint64_t>& checksums) {
  Found found;
  for (std::size_t page = 0; page < checksums.size(); ++page) {
    if (checksums[page] == 0) continue;
    (image.holds(page, checksums[page]) ? found.held : found.damaged).push_back(page);
  }
  return found;
}

std::vector<std::uint64_t> checksums_of(const Image& image) {
  const auto now = image.checksums();
  return {now->begin(), now->end()};
}

Found look_at(const Image& image) { return hold_against(image, checksums_of(image)); }

using Pages = std::vector<std::size_t>;

TEST(Image, WhatIsWrittenIsThere) {
  const auto image = make_image();
  const auto first = image->allocate(3);
  const auto second = image->allocate(2);
  ASSERT_TRUE(image->write(first.first + 1, pages_of('a', 2).data(), 2));
  ASSERT_TRUE(image->write(second.first, pages_of('b', 2).data(), 2));
  EXPECT_FALSE(image->stored(first.first));
  EXPECT_EQ(image->stored_bytes(), 4 * kPage);
  const auto before = checksums_of(*image);
  EXPECT_EQ(hold_against(*image, before).held, (Pages{1, 2, 3, 4}));
  ASSERT_TRUE(image->write(first.first + 2, pages_of('c', 1).data(), 1));
  EXPECT_EQ(hold_against(*image, before).damaged, Pages{2});
  EXPECT_EQ(look_at(*image).held, (Pages{1, 2, 3, 4}));
  EXPECT_EQ(image->stored_bytes(), 4 * kPage) << "in place";
}

TEST(Image, WhatIsStoredIsReadBackUnlessTheDiskHasSomethingElse) {
  const auto image = make_image();
  const auto extent = image->allocate(3);
  ASSERT_TRUE(image->write(extent.first, pages_of('a', 3).data(), 3));
  EXPECT_TRUE(image->same(extent.first, pages_of('a', 1).data()));
  EXPECT_FALSE(image->same(extent.first, pages_of('b', 1).data()));
  std::string read(2 * kPage, '?');
  ASSERT_TRUE(image->read(extent.first + 1, read.data(), 2));
  EXPECT_EQ(read, pages_of('a', 2));
  ASSERT_EQ(::pwrite(image->descriptor(), "x", 1, static_cast<off_t>(2 * kPage)), 1);
  EXPECT_FALSE(image->read(extent.first + 1, read.data(), 2));
  EXPECT_TRUE(image->read(extent.first, read.data(), 1));
}

TEST(Image, WhoReadsChecksumsMayGoOnWhileItGrows) {
  const auto image = make_image();
  const auto first = image->allocate(2);
  ASSERT_TRUE(image->write(first.first, pages_of('a', 2).data(), 2));
  const auto early = image->checksums();
  const auto more = image->allocate(100);
  ASSERT_TRUE(image->write(more.first, pages_of('b', 100).data(), 100));
  EXPECT_TRUE(image->holds(first.first, (*early)[first.first]));
  EXPECT_EQ(look_at(*image).held.size(), 102U);
}

TEST(Image, HasNoNameAndOneReader) {
  const std::string folder = std::string(IMAGE_FOLDER) + "/images";
  std::filesystem::create_directories(folder);
  std::string why;
  const auto image = Image::create(folder, why);
  ASSERT_TRUE(image) << why;
  ASSERT_TRUE(image->write(image->allocate(1).first, pages_of('a', 1).data(), 1));
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  struct stat status{};
  ASSERT_EQ(::fstat(image->descriptor(), &status), 0);
  EXPECT_EQ(status.st_nlink, 0U);
  EXPECT_EQ(status.st_mode & 07777U, 0600U);
}

TEST(Image, AFlippedBitIsSeen) {
  const auto image = make_image();
  const auto extent = image->allocate(4);
  ASSERT_TRUE(image->write(extent.first, pages_of('a', 4).data(), 4));
  const auto at = static_cast<off_t>((extent.first + 2) * kPage + 17);
  const char flipped = 'a' ^ 4;
  ASSERT_EQ(::pwrite(image->descriptor(), &flipped, 1, at), 1);
  EXPECT_EQ(look_at(*image).damaged, Pages{extent.first + 2});
  ASSERT_EQ(::ftruncate(image->descriptor(), 0), 0);
  EXPECT_EQ(look_at(*image).damaged.size(), 4U);
}

TEST(Image, SpaceThatIsFreedIsGivenBackAndUsedAgain) {
  const auto image = make_image();
  std::mt19937 random(1);
  std::vector<Image::Extent> extents;
  std::size_t most = 0;  // the most pages that were in use at the same time
  std::size_t used = 0;
  for (int i = 0; i < 3000; ++i) {
    if (extents.size() < 8 || random() % 2 == 0) {
      if (extents.size() == 16) continue;
      const auto extent = image->allocate(1 + random() % 32);
      ASSERT_TRUE(image->write(extent.first, pages_of('x', extent.pages).data(), extent.pages));
      used += extent.pages;
      most = std::max(most, used);
      extents.push_back(extent);
    } else {
      const std::size_t victim = random() % extents.size();
      image->free(extents[victim]);
      used -= extents[victim].pages;
      extents.erase(extents.begin() + static_cast<std::ptrdiff_t>(victim));
    }
    ASSERT_EQ(image->stored_bytes(), used * kPage);
  }
  EXPECT_LE(disk_bytes(*image), (used + 64) * kPage);
  EXPECT_LE(std::filesystem::file_size("/proc/self/fd/" + std::to_string(image->descriptor())), 4 * most * kPage);
  for (const auto extent : extents) image->free(extent);
  EXPECT_EQ(image->stored_bytes(), 0U);
  // Space that is given out again reads as zeros.
  const auto whole = image->allocate(most);
  std::string page(kPage, 'y');
  ASSERT_GE(::pread(image->descriptor(), page.data(), kPage, static_cast<off_t>(whole.first * kPage)), 0);
  EXPECT_EQ(page.find('x'), std::string::npos);
}

TEST(Image, AFullDiskIsAnAnswer) {
  const auto image = make_image();
  const auto extent = image->allocate(8);
  ASSERT_TRUE(image->write(extent.first, pages_of('a', 2).data(), 2));
  const bool written = [&] {
    const FullDisk full((extent.first + 4) * kPage);
    return image->write(extent.first + 1, pages_of('b', 7).data(), 7);
  }();
  EXPECT_FALSE(written);
  EXPECT_TRUE(image->stored(extent.first));
  for (std::size_t i = 1; i < 8; ++i) EXPECT_FALSE(image->stored(extent.first + i));
  EXPECT_EQ(image->stored_bytes(), kPage);
  std::string page(kPage, 'y');
  ASSERT_GE(::pread(image->descriptor(), page.data(), kPage, static_cast<off_t>((extent.first + 1) * kPage)), 0);
  EXPECT_EQ(page.find('b'), std::string::npos) << "they read as zeros, where they are mapped";
  EXPECT_TRUE(image->write(extent.first + 1, pages_of('b', 7).data(), 7));
}

TEST(Image, WhereThereCanBeNone) {
  std::string why;
  EXPECT_FALSE(Image::create("/nowhere", why));
  EXPECT_NE(why.find("/nowhere"), std::string::npos);
  EXPECT_FALSE(Image::create("/dev/shm", why));
  EXPECT_NE(why.find("memory"), std::string::npos);
}

}  // namespace
}  // namespace minerva::engine
