#include "engine/process_state.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

namespace minerva {
namespace {

TEST(ProcessState, ProcessorTimeGrowsWithWork) {
  const auto before = processor_time(::getpid());
  ASSERT_TRUE(before.has_value());
  volatile unsigned work = 0;
  while (*processor_time(::getpid()) == *before) work = work + 1;
  EXPECT_GT(*processor_time(::getpid()), *before);
}

TEST(ProcessState, OfNoProcess) {
  EXPECT_FALSE(processor_time(0).has_value());
  EXPECT_TRUE(thread_states(0).empty());
  EXPECT_FALSE(private_memory(0).has_value());
}

TEST(ProcessState, PrivateMemoryIsWhatIsWrittenToAndInNoFile) {
  const auto before = private_memory(::getpid());
  ASSERT_TRUE(before.has_value());
  constexpr std::size_t kSize = std::size_t{64} << 20;
  void* const block = ::mmap(nullptr, kSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  ASSERT_NE(block, MAP_FAILED);
  EXPECT_GT(private_memory(::getpid())->count() + kSize / 2, before->count() + kSize);
  ::munmap(block, kSize);
}

TEST(ProcessState, AStoppedThreadIsSaidToBeStopped) {
  // Another program, since a fork would also have the threads of a sanitizer.
  pid_t child = 0;
  std::string name = "sleep";
  std::string forever = "infinity";
  const std::array<char*, 3> argv = {name.data(), forever.data(), nullptr};
  ASSERT_EQ(::posix_spawnp(&child, name.c_str(), nullptr, nullptr, argv.data(), environ), 0);
  ::kill(child, SIGSTOP);
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  const auto lines = thread_states(child);
  const auto in_short = thread_states(child, 0);
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("): T"), std::string::npos) << lines[0];
  EXPECT_EQ(in_short, std::vector<std::string>{"and 1 more threads"});
}

}  // namespace
}  // namespace minerva
