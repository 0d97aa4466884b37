#include "host/runtime_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;

class RuntimeFolderTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = testing::TempDir() + "runtime-XXXXXX";
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    base_ = name;
    ASSERT_EQ(::setenv("XDG_RUNTIME_DIR", name.c_str(), 1), 0);
  }
  void TearDown() override {
    ::unsetenv("XDG_RUNTIME_DIR");
    fs::remove_all(base_);
  }
  // What a process makes that is killed before it can clean up.
  std::string folder_of_a_killed_process() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const auto folder = RuntimeFolder::make();
      std::ofstream(folder->path() + "/1-1.sock") << "left";
      ::raise(SIGKILL);
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status));
    return fs::directory_iterator(base_)->path();
  }
  fs::path base_;
};

TEST_F(RuntimeFolderTest, IsPrivateAndGoesWithItsObject) {
  std::string path;
  {
    const auto folder = RuntimeFolder::make();
    ASSERT_TRUE(folder.has_value());
    path = folder->path();
    EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_all);
    EXPECT_TRUE(path.starts_with(base_.string()));
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(RuntimeFolderTest, OneLeftByAKilledProcessIsRemoved) {
  const std::string left = folder_of_a_killed_process();
  ASSERT_TRUE(fs::exists(left));
  const auto folder = RuntimeFolder::make();
  ASSERT_TRUE(folder.has_value());
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(RuntimeFolderTest, OneInUseAndForeignFoldersAreLeftAlone) {
  fs::create_directory(base_ / "minerva-notes");  // no lock in it: not ours
  const auto first = RuntimeFolder::make();
  const auto second = RuntimeFolder::make();
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_TRUE(fs::exists(first->path()));
  EXPECT_TRUE(fs::exists(second->path()));
  EXPECT_TRUE(fs::exists(base_ / "minerva-notes"));
}

}  // namespace
}  // namespace minerva
