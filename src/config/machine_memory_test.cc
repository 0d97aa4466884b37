#include "config/machine_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace minerva {
namespace {

namespace fs = std::filesystem;

class MachineMemory : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "machine-memory-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    put("/proc/meminfo", "MemFree: 1 kB\nMemTotal:       16777216 kB\nSwapTotal: 9 kB\n");
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  std::string root_;
};

TEST_F(MachineMemory, WithoutALimitItIsTheMachines) { EXPECT_EQ(available_memory(root_), Bytes::gib(16)); }

TEST_F(MachineMemory, Version2TakesTheLowestOfAllLevels) {
  put("/proc/self/cgroup", "0::/user.slice/minerva.service\n");
  put("/sys/fs/cgroup/user.slice/minerva.service/memory.max", "max\n");
  EXPECT_EQ(available_memory(root_), Bytes::gib(16));
  put("/sys/fs/cgroup/user.slice/memory.max", "4294967296\n");
  EXPECT_EQ(available_memory(root_), Bytes::gib(4));
  put("/sys/fs/cgroup/user.slice/minerva.service/memory.max", "2147483648\n");
  EXPECT_EQ(available_memory(root_), Bytes::gib(2));
}

TEST_F(MachineMemory, Version1) {
  put("/proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/docker/abc\n0::/\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  EXPECT_EQ(available_memory(root_), Bytes::gib(16));
  // Inside a container its own group is the top, whatever /proc says.
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3221225472\n");
  EXPECT_EQ(available_memory(root_), Bytes::gib(3));
}

TEST_F(MachineMemory, ALimitAboveTheMachineIsNone) {
  put("/proc/self/cgroup", "0::/\n");
  put("/sys/fs/cgroup/memory.max", "1099511627776\n");
  EXPECT_EQ(available_memory(root_), Bytes::gib(16));
}

TEST_F(MachineMemory, OddFilesAreIgnored) {
  put("/proc/self/cgroup", "hello\n\n:\n0::/../../..\n");
  EXPECT_EQ(available_memory(root_), Bytes::gib(16));
  EXPECT_GT(available_memory().count(), 0U) << "this machine";
}

}  // namespace
}  // namespace minerva
