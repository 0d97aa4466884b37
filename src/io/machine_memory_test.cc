#include "io/machine_memory.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace minerva::io {
namespace {

namespace fs = std::filesystem;
using std::chrono::microseconds;

class MachineMemoryTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "machine-memory-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree: 1 kB\nMemAvailable:    8388608 kB\nSwapTotal: 9 kB\n");
    put("/proc/pressure/memory",
        "some avg10=1.50 avg60=0.00 avg300=0.00 total=790274\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=283569\n");
  }
  void TearDown() override { fs::remove_all(root_); }
  void put(const std::string& path, const std::string& text) {
    fs::create_directories(fs::path(root_ + path).parent_path());
    std::ofstream(root_ + path) << text;
  }
  void put_v1(const std::string& group, const std::string& limit, const std::string& usage, const std::string& stat) {
    const std::string folder = "/sys/fs/cgroup/memory" + group;
    put(folder + "/memory.limit_in_bytes", limit + "\n");
    put(folder + "/memory.usage_in_bytes", usage + "\n");
    put(folder + "/memory.stat", stat);
  }
  MachineMemory read() { return read_machine_memory(root_); }
  std::string root_;
};

constexpr const char* kNoLimit = "9223372036854771712";  // as version 1 writes it

TEST_F(MachineMemoryTest, WithoutALimitItIsTheMachines) {
  const MachineMemory memory = read();
  ASSERT_EQ(memory.levels.size(), 1U);
  EXPECT_EQ(memory.levels[0].name, "the machine");
  EXPECT_EQ(memory.limit(), Bytes::gib(16));
  EXPECT_EQ(memory.available(), Bytes::gib(8));
  EXPECT_EQ(memory.levels[0].stalled, microseconds(790274));
}

TEST_F(MachineMemoryTest, Version2TakesTheLowestOfAllLevels) {
  put("/proc/self/cgroup", "0::/user.slice/minerva.service\n");
  put("/sys/fs/cgroup/user.slice/minerva.service/memory.max", "max\n");
  EXPECT_EQ(read().limit(), Bytes::gib(16));
  put("/sys/fs/cgroup/user.slice/memory.max", "4294967296\n");
  EXPECT_EQ(read().limit(), Bytes::gib(4));
  put("/sys/fs/cgroup/user.slice/minerva.service/memory.max", "2147483648\n");
  EXPECT_EQ(read().limit(), Bytes::gib(2));
  put("/sys/fs/cgroup/user.slice/minerva.service/memory.high", "1073741824\n");
  EXPECT_EQ(read().limit(), Bytes::gib(1)) << "above it, whoever allocates is made to wait";
}

TEST_F(MachineMemoryTest, Version1) {
  put("/proc/self/cgroup", "12:cpu,cpuacct:/x\n5:memory:/docker/abc\n0::/\n");
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", kNoLimit);
  EXPECT_EQ(read().limit(), Bytes::gib(16));
  // Inside a container its own group is the top, whatever /proc says.
  put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "3221225472\n");
  EXPECT_EQ(read().limit(), Bytes::gib(3));
}

TEST_F(MachineMemoryTest, InEachLevelOfVersion1CleanPageCacheIsLeft) {
  put("/proc/self/cgroup", "5:memory:/outer/inner\n");
  // A limit of 1 GiB, all of it used: 700 MiB of page cache, of which 50 MiB are still to be written.
  put_v1("/outer/inner", "1073741824", "1073741824",
         "cache 734003200\ninactive_file 1\nactive_file 1\ntotal_dirty 41943040\ntotal_writeback 10485760\n"
         "total_inactive_file 524288000\ntotal_active_file 209715200\ntotal_unevictable 0\n");
  put_v1("/outer", "2147483648", "1610612736", "total_inactive_file 0\ntotal_active_file 0\n");
  put_v1("", kNoLimit, "9999999999", "");
  const MachineMemory memory = read();
  ASSERT_EQ(memory.levels.size(), 3U) << "no limit at the top";
  EXPECT_EQ(memory.levels[1].name, "the cgroup /outer/inner");
  EXPECT_EQ(memory.levels[1].available, Bytes::mib(650));
  EXPECT_EQ(memory.levels[1].stalled, microseconds(790274)) << "the machine's";
  EXPECT_EQ(memory.levels[2].name, "the cgroup /outer");
  EXPECT_EQ(memory.levels[2].available, Bytes::mib(512));
  EXPECT_EQ(memory.available(), Bytes::mib(512));
  EXPECT_EQ(memory.limit(), Bytes::gib(1));
}

TEST_F(MachineMemoryTest, InEachLevelOfVersion2CleanPageCacheIsLeft) {
  put("/proc/self/cgroup", "0::/\n");
  const std::string top = "/sys/fs/cgroup";
  put(top + "/memory.max", "1073741824\n");
  put(top + "/memory.current", "1073741824\n");
  put(top + "/memory.stat",
      "anon 1\nfile 734003200\nfile_mapped 1\nfile_dirty 41943040\nfile_writeback 10485760\ninactive_file 524288000\n"
      "active_file 209715200\nslab_reclaimable 20971520\nslab 1\n");
  put(top + "/memory.pressure", "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 total=1\n");
  const MachineMemory memory = read();
  ASSERT_EQ(memory.levels.size(), 2U);
  EXPECT_EQ(memory.levels[1].name, "the cgroup /");
  EXPECT_EQ(memory.levels[1].available, Bytes::mib(670));
  EXPECT_EQ(memory.levels[1].stalled, microseconds(12)) << "its own";
}

TEST_F(MachineMemoryTest, MoreThanTheLimitLeavesNothing) {
  put("/proc/self/cgroup", "5:memory:/x\n");
  put_v1("/x", "1048576", "2097152", "total_inactive_file 0\n");
  EXPECT_EQ(read().available(), Bytes(0));
}

TEST_F(MachineMemoryTest, ALimitAboveTheMachineIsNone) {
  put("/proc/self/cgroup", "0::/\n");
  put("/sys/fs/cgroup/memory.max", "1099511627776\n");
  EXPECT_EQ(read().limit(), Bytes::gib(16));
  EXPECT_EQ(read().levels.size(), 1U);
}

// Without the statistics nobody could tell page cache from what processes hold: it would look like a shortage.
TEST_F(MachineMemoryTest, WhatCannotBeReadIsUnknownAndNoShortage) {
  put("/proc/self/cgroup", "5:memory:/x\n");
  put("/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1048576\n");
  put("/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "1048576\n");
  const MachineMemory memory = read();
  EXPECT_EQ(memory.limit(), Bytes::mib(1));
  ASSERT_EQ(memory.levels.size(), 2U);
  EXPECT_EQ(memory.levels[1].available, std::nullopt);
  EXPECT_EQ(memory.available(), Bytes::gib(8));

  put("/proc/pressure/memory", "some avg10=");
  EXPECT_EQ(read().levels[0].stalled, std::nullopt);
  put("/proc/meminfo", "MemTotal: 2048 kB\n");  // old kernels say no more
  EXPECT_EQ(read().levels[0].available, std::nullopt);
  put("/proc/meminfo", "");
  EXPECT_EQ(read().limit(), Bytes::mib(1)) << "the cgroup's";
  fs::remove_all(root_ + "/proc");
  EXPECT_TRUE(read().levels.empty());
  EXPECT_EQ(read().limit(), Bytes(0));
  EXPECT_EQ(read().available(), std::nullopt);
}

TEST_F(MachineMemoryTest, OddFilesAreIgnored) {
  put("/proc/self/cgroup", "hello\n\n:\n0::/../../..\n0::\n");
  EXPECT_EQ(read().limit(), Bytes::gib(16));
  put("/sys/fs/cgroup/memory.max", "1048576\n");
  for (const MemoryLevel& level : read().levels) {
    EXPECT_TRUE(level.name == "the machine" || level.name == "the cgroup /") << level.name;
  }
}

TEST(MachineMemory, OfThisMachine) {
  const MachineMemory memory = read_machine_memory();
  EXPECT_GT(memory.limit().count(), 0U);
  ASSERT_TRUE(memory.available().has_value());
  EXPECT_GT(memory.available()->count(), 0U);
  EXPECT_LE(*memory.available(), memory.limit());
}

TEST(MemoryLevel, StaysFreeBySizeUnlessASizeIsWanted) {
  const auto to_stay_free = [](Bytes limit, std::optional<Bytes> wanted) {
    return MemoryLevel{"", limit, {}, {}}.to_stay_free(wanted);
  };
  EXPECT_EQ(to_stay_free(Bytes::gib(4), std::nullopt), Bytes::mib(256));
  EXPECT_EQ(to_stay_free(Bytes::gib(256), std::nullopt), Bytes::gib(1));
  EXPECT_EQ(to_stay_free(Bytes::gib(4), Bytes::mib(3)), Bytes::mib(3));
  EXPECT_EQ(to_stay_free(Bytes::gib(4), Bytes(0)), Bytes(0));
}

TEST(MachineMemory, WhatIsDisplacedIsThatOfTheTightestLevel) {
  const auto level = [](std::uint64_t limit_mib, std::uint64_t available_mib, std::uint64_t unused_mib) {
    return MemoryLevel{"", Bytes::mib(limit_mib), Bytes::mib(available_mib), {}, Bytes::mib(unused_mib)};
  };
  const MachineMemory memory{{level(8192, 6000, 1000), level(1024, 700, 100)}};
  const auto displacement = [&](std::uint64_t mib) { return memory.displacement(Bytes::mib(mib), Bytes::mib(50)); };
  EXPECT_EQ(displacement(50).displaced, Bytes(0)) << "there is room, and what is to stay free is left over";
  EXPECT_EQ(displacement(50).page_cache, Bytes(0));
  EXPECT_EQ(displacement(80).displaced, Bytes::mib(30));
  EXPECT_EQ(displacement(80).page_cache, Bytes::mib(600));
  const MachineMemory silent{{MemoryLevel{"", Bytes::mib(1024), {}, {}, {}}}};
  EXPECT_EQ(silent.displacement(Bytes::mib(80), {}).displaced, Bytes(0)) << "nobody says that it is short";
}

}  // namespace
}  // namespace minerva::io
