#include "engine/process_state.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

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
}

TEST(ProcessState, AStoppedThreadIsSaidToBeStopped) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::raise(SIGSTOP);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, WUNTRACED), child);
  const auto lines = thread_states(child);
  ASSERT_EQ(lines.size(), 1U);
  EXPECT_NE(lines[0].find("): T"), std::string::npos) << lines[0];
  EXPECT_EQ(thread_states(child, 0), std::vector<std::string>{"and 1 more threads"});
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
}

}  // namespace
}  // namespace minerva
