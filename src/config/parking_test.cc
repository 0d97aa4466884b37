#include "config/parking.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;

class ParkingConfigTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = DISK_FOLDER "/parking-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  static mode_t mode_of(const fs::path& path) {
    struct stat status{};
    EXPECT_EQ(::stat(path.c_str(), &status), 0);
    return status.st_mode & 0777U;
  }

  fs::path folder_;
};

TEST_F(ParkingConfigTest, SharesAreOfTheBudgetAndOfTheDisk) {
  Config config;
  config.park_folder = (folder_ / "not" / "there").string();
  const ParkingLimits limits = parking_limits(config, Bytes::gib(8), Bytes());
  EXPECT_TRUE(limits.enabled);
  EXPECT_EQ(limits.memory, Bytes::gib(2));
  struct statvfs status{};
  ASSERT_EQ(::statvfs(folder_.c_str(), &status), 0);
  const double half = static_cast<double>(status.f_bavail) * static_cast<double>(status.f_frsize) / 2;
  // Other programs use the same disk.
  EXPECT_NEAR(static_cast<double>(limits.images.count()), half, half / 4);

  config.park = false;
  config.park_memory = {0, Bytes::mib(300)};
  config.park_images = {0, Bytes::gib(9)};
  const ParkingLimits given = parking_limits(config, Bytes::gib(8), Bytes());
  EXPECT_FALSE(given.enabled);
  EXPECT_EQ(given.memory, Bytes::mib(300));
  EXPECT_EQ(given.images, Bytes::gib(9));
}

TEST_F(ParkingConfigTest, TheFolderIsMadeForItsOwnerAlone) {
  const fs::path images = folder_ / "state" / "images";
  const auto made = make_image_folder(images.string());
  ASSERT_TRUE(made.has_value()) << made.error().message;
  EXPECT_EQ(mode_of(images), 0700U);
  EXPECT_TRUE(fs::is_empty(images));
  fs::permissions(images, fs::perms(0750));
  EXPECT_TRUE(make_image_folder(images.string()).has_value());
  EXPECT_EQ(mode_of(images), 0750U) << "one that is there is its owner's business";
}

TEST_F(ParkingConfigTest, WhyNothingCanBeParkedThere) {
  std::ofstream(folder_ / "file") << "x";
  const std::vector<std::pair<std::string, std::string>> cases = {
      {(folder_ / "file").string(), "no file can be made there"},
      {(folder_ / "file" / "images").string(), "it cannot be made"},
      {"/proc", "no file can be made there"},
      {"/dev/shm", "in memory"},
  };
  for (const auto& [folder, words] : cases) {
    const auto made = make_image_folder(folder);
    ASSERT_FALSE(made.has_value()) << folder;
    EXPECT_EQ(made.error().code, ErrorCode::kIo);
    EXPECT_NE(made.error().message.find(folder + ": "), std::string::npos) << made.error().message;
    EXPECT_NE(made.error().message.find(words), std::string::npos) << made.error().message;
    EXPECT_NE(made.error().message.find("park.folder"), std::string::npos) << made.error().message;
  }
  EXPECT_FALSE(try_image_folder((folder_ / "nowhere").string()).has_value());
  EXPECT_FALSE(fs::exists(folder_ / "nowhere")) << "looking changes nothing";
}

}  // namespace
}  // namespace minerva
