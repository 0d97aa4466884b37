#include "host/runtime_folder.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

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
  static void make_socket(const std::string& path) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    ASSERT_LT(path.size(), sizeof name.sun_path);
    path.copy(name.sun_path, sizeof name.sun_path - 1);
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&name), sizeof name), 0) << path;
    ::close(fd);
  }
  // Makes the folder that a process leaves if it is killed before it can clean up.
  std::string folder_of_a_killed_process() {
    const pid_t pid = ::fork();
    if (pid == 0) {
      const auto folder = RuntimeFolder::make();
      make_socket(folder->path() + "/1-1.sock");
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

TEST_F(RuntimeFolderTest, NothingOfSomebodyElseIsRemoved) {
  const std::string ours = fs::path(folder_of_a_killed_process()).filename();
  fs::remove(base_ / ours / "1-1.sock");  // a socket cannot be copied
  const auto lock_of = [](const fs::path& folder) { return folder / "lock"; };
  const auto copy_as = [&](const std::string& name) {
    fs::copy(base_ / ours, base_ / name, fs::copy_options::recursive | fs::copy_options::skip_symlinks);
    fs::permissions(base_ / name, fs::perms::owner_all);
    return base_ / name;
  };
  std::vector<fs::path> foreign;
  foreign.push_back(copy_as("minerva-notes-of-mine"));  // its name has another form
  foreign.push_back(copy_as("mine-abcdef"));
  foreign.push_back(copy_as("minerva-aaaaaa"));
  std::ofstream(lock_of(foreign.back()), std::ios::trunc) << "a list of locks\n";
  foreign.push_back(copy_as("minerva-bbbbbb"));
  fs::resize_file(lock_of(foreign.back()), 0);
  foreign.push_back(copy_as("minerva-cccccc"));
  fs::permissions(foreign.back(), fs::perms::owner_all | fs::perms::group_read);
  foreign.push_back(copy_as("minerva-dddddd"));
  fs::remove(lock_of(foreign.back()));
  fs::create_symlink(lock_of(base_ / "minerva-notes-of-mine"), lock_of(foreign.back()));
  foreign.push_back(base_ / "minerva-eeeeee");
  fs::create_symlink(base_ / "minerva-notes-of-mine", foreign.back());
  ASSERT_TRUE(RuntimeFolder::make().has_value());
  EXPECT_FALSE(fs::exists(base_ / ours));
  for (const fs::path& folder : foreign) {
    EXPECT_TRUE(fs::exists(folder)) << folder;
    EXPECT_TRUE(fs::exists(lock_of(folder))) << folder;
  }
}

TEST_F(RuntimeFolderTest, WhatIsNeitherSocketNorLockStays) {
  const std::string kept = folder_of_a_killed_process();
  std::string used;
  const auto put = [](const std::string& folder) {
    std::ofstream(folder + "/notes") << "mine";
    std::ofstream(folder + "/2-2.sock") << "a file";
    make_socket(folder + "/mine.sock");
  };
  put(kept);
  {
    const auto made = RuntimeFolder::make();
    ASSERT_TRUE(made.has_value());
    used = made->path();
    make_socket(used + "/1-1.sock");
    put(used);
  }
  for (const std::string& folder : {kept, used}) {
    for (const char* name : {"/notes", "/2-2.sock", "/mine.sock"}) EXPECT_TRUE(fs::exists(folder + name)) << name;
    EXPECT_FALSE(fs::exists(folder + "/1-1.sock"));
    EXPECT_FALSE(fs::exists(folder + "/lock"));
  }
}

TEST_F(RuntimeFolderTest, OneInUseAndForeignFoldersAreLeftAlone) {
  fs::create_directory(base_ / "minerva-notes");  // there is no lock in it, so it is not ours
  const auto first = RuntimeFolder::make();
  const auto second = RuntimeFolder::make();
  ASSERT_TRUE(first.has_value() && second.has_value());
  EXPECT_TRUE(fs::exists(first->path()));
  EXPECT_TRUE(fs::exists(second->path()));
  EXPECT_TRUE(fs::exists(base_ / "minerva-notes"));
}

}  // namespace
}  // namespace minerva
