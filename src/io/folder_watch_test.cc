#include "io/folder_watch.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "io/io_test_support.h"

namespace minerva::io {
namespace {

namespace fs = std::filesystem;

class FolderWatchTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "watch-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  void write(const fs::path& file) const { std::ofstream(folder_ / file) << "x"; }

  fs::path folder_;
};

TEST_F(FolderWatchTest, TellsOfWhatComesGoesAndIsWritten) {
  run_on_loop([this](Loop& loop) -> Task<void> {
    Signal changed(loop);
    auto watch = FolderWatch::open(loop, FolderWatch::Notice::kAny, [&] { changed.notify(); });
    EXPECT_TRUE(watch.has_value());
    EXPECT_EQ((*watch)->watch({folder_.string()}), std::vector<std::string>{folder_.string()});
    EXPECT_TRUE((*watch)->watch({folder_.string()}).empty());  // known already
    write("a");
    co_await changed.wait();
    fs::rename(folder_ / "a", folder_ / "b");
    co_await changed.wait();
    fs::create_hard_link(folder_ / "b", folder_ / "c");
    co_await changed.wait();
    fs::create_directory(folder_ / "below");
    co_await changed.wait();
    fs::remove(folder_ / "c");
    co_await changed.wait();
    // The folder itself goes. Once it is back it counts as a new folder.
    fs::remove_all(folder_);
    co_await changed.wait();
    fs::create_directory(folder_);
    EXPECT_EQ((*watch)->watch({folder_.string()}).size(), 1U);
    write("a");
    co_await changed.wait();
  });
}

TEST_F(FolderWatchTest, KnowsOfAChangeBeforeTheLoopDoes) {
  run_on_loop([this](Loop& loop) -> Task<void> {
    auto watch = FolderWatch::open(loop, FolderWatch::Notice::kAny, [] {});
    (*watch)->watch({folder_.string()});
    EXPECT_FALSE((*watch)->take_changes());
    write("a");
    EXPECT_TRUE((*watch)->take_changes());
    EXPECT_FALSE((*watch)->take_changes());
    co_return;
  });
}

TEST_F(FolderWatchTest, OfWrittenFilesOnlyThoseThatAreWhole) {
  run_on_loop([this](Loop& loop) -> Task<void> {
    auto watch = FolderWatch::open(loop, FolderWatch::Notice::kWritten, [] {});
    (*watch)->watch({folder_.string()});
    std::ofstream file(folder_ / "a");
    file << "begun" << std::flush;
    EXPECT_FALSE((*watch)->take_changes());
    file.close();
    EXPECT_TRUE((*watch)->take_changes());
    fs::remove(folder_ / "a");
    EXPECT_FALSE((*watch)->take_changes());
    co_return;
  });
}

TEST_F(FolderWatchTest, AFolderThatIsNotThereIsLeftOut) {
  run_on_loop([this](Loop& loop) -> Task<void> {
    auto watch = FolderWatch::open(loop, FolderWatch::Notice::kAny, [] {});
    EXPECT_TRUE((*watch)->watch({(folder_ / "nowhere").string()}).empty());
    EXPECT_EQ((*watch)->watch({folder_.string(), (folder_ / "nowhere").string()}).size(), 1U);
    // A folder that is no longer watched reports nothing.
    EXPECT_TRUE((*watch)->watch({}).empty());
    write("a");
    EXPECT_FALSE((*watch)->take_changes());
    co_return;
  });
}

}  // namespace
}  // namespace minerva::io
