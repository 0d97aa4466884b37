#include "io/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "io/io_test_support.h"

// These take the place of functions of the C library, to play what a machine does rarely. With the thread sanitizer
// they are left out, as the sanitizer has its own functions in that place.
#if !__has_feature(thread_sanitizer)
#define PRETENDS

namespace {
struct {
  int not_ended = 0;         // so many calls of waitid() find nothing
  int waits_that_block = 0;  // calls of waitid() that would block
  int watches_left = -1;     // after so many watches epoll has no room for more; -1: it always has
} pretended;
}  // namespace

extern "C" int waitid(idtype_t type, id_t id, siginfo_t* info, int options) {
  if ((options & WNOHANG) == 0) ++pretended.waits_that_block;
  if (pretended.not_ended > 0) {
    --pretended.not_ended;
    *info = {};
    return 0;
  }
  return static_cast<int>(::syscall(SYS_waitid, type, id, info, options, nullptr));
}

extern "C" int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
  if (operation == EPOLL_CTL_ADD && pretended.watches_left >= 0 && pretended.watches_left-- == 0) {
    errno = ENOSPC;
    return -1;
  }
  return static_cast<int>(::syscall(SYS_epoll_ctl, epoll, operation, fd, event));
}
#endif

namespace minerva::io {
namespace {

struct Recorded {
  std::vector<std::string> out;
  std::vector<std::string> err;
  std::vector<std::string> in;  // what the child wrote on its stdin
  std::optional<ExitStatus> status;
};

Process::Handlers record(Recorded& run, Signal& exited) {
  return {[&](std::string_view line) { run.out.emplace_back(line); },
          [&](std::string_view line) { run.err.emplace_back(line); },
          [&](ExitStatus status) {
            run.status = status;
            exited.notify();
          },
          [&](std::string_view line) { run.in.emplace_back(line); }};
}

ProcessSpec shell(std::string script) { return {{"/bin/sh", "-c", std::move(script)}, {"ONLY=this"}, ""}; }

ProcessSpec shell_on_socket(std::string script) {
  ProcessSpec spec = shell(std::move(script));
  spec.stdin_is_socket = true;
  return spec;
}

bool is_gone(pid_t pid) { return ::kill(pid, 0) != 0 && errno == ESRCH; }

#ifdef PRETENDS
std::ptrdiff_t open_descriptors() {
  return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
}
#endif

std::size_t total_size(const std::vector<std::string>& lines) {
  std::size_t total = 0;
  for (const std::string& line : lines) total += line.size();
  return total;
}

TEST(Process, DeliversLinesAndStatus) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell("echo one; echo $ONLY$HOME; echo bad >&2; printf tail; exit 3"),
                                  record(run, exited));
    EXPECT_TRUE(process.has_value());
    co_await exited.wait();
    EXPECT_EQ(run.out, (std::vector<std::string>{"one", "this", "tail"}));
    EXPECT_EQ(run.err, std::vector<std::string>{"bad"});
    EXPECT_EQ(run.status->code, 3);
    EXPECT_EQ(run.status->signal, 0);
  });
}

// The kernel gives the file out with its first byte, and maybe with bytes before that; never later.
TEST(Process, PassesAFileOnWithItsText) {
  run_on_loop([](Loop& loop) -> Task<void> {
    constexpr std::size_t kBefore = 1'000'000;  // more than a socket holds
    Recorded run;
    Signal exited(loop);
    ProcessSpec spec;
    spec.argv = {"/usr/bin/env", "python3", "-c",
                 "import os, socket\n"
                 "s = socket.socket(fileno=0)\n"
                 "text, files = b'', []\n"
                 "while not files:\n"
                 "  more, files, _, _ = socket.recv_fds(s, 65536, 4)\n"
                 "  text += more\n"
                 "early = text.strip(b'a')\n"
                 "os.write(files[0], b'from the child')\n"
                 "while b'behind' not in text: text += s.recv(65536)\n"
                 "print(early[:1].decode(), text.strip(b'a').split(b'\\n')[0].decode(), text.count(b'a'))\n"};
    spec.environment = {std::string("PATH=") + std::getenv("PATH")};
    spec.stdin_is_socket = true;
    auto process = Process::spawn(loop, spec, record(run, exited));
    std::FILE* const file = std::tmpfile();
    (*process)->write_stdin(std::string(kBefore, 'a'));
    (*process)->write_stdin("with it\n", Descriptor(::dup(::fileno(file))));
    (*process)->write_stdin("behind\n");
    co_await exited.wait();
    EXPECT_EQ(run.out, std::vector<std::string>{"w with it 1000000"});
    std::string written(20, '\0');
    written.resize(static_cast<std::size_t>(::pread(::fileno(file), written.data(), written.size(), 0)));
    EXPECT_EQ(written, "from the child");
    std::fclose(file);
  });
}

TEST(Process, FeedsStandardInputAndClosesIt) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell("cat"), record(run, exited));
    (*process)->write_stdin(std::string(200000, 'a') + "\nend\n");
    (*process)->close_stdin();
    co_await exited.wait();
    EXPECT_EQ(total_size(run.out), 200003u);
    EXPECT_EQ(run.out.back(), "end");
  });
}

TEST(Process, AnIdleOneIsTheLastToGetTheProcessorAndTheDisk) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    // The child looks at its priorities once it gets a line: by then it has been made idle.
    ProcessSpec spec = shell("read line; nice; ionice; true");
    spec.idle = true;
    auto process = Process::spawn(loop, spec, record(run, exited));
    (*process)->write_stdin("look\n");
    co_await exited.wait();
    EXPECT_EQ(run.out, (std::vector<std::string>{"19", "idle"}));
  });
}

TEST(Process, StandardInputIsAPipeOrASocket) {
  const std::string script = "[ -p /dev/stdin ] && echo pipe; [ -S /dev/stdin ] && echo socket; exit 0";
  for (const bool socket : {false, true}) {
    run_on_loop([&](Loop& loop) -> Task<void> {
      Recorded run;
      Signal exited(loop);
      auto process = Process::spawn(loop, socket ? shell_on_socket(script) : shell(script), record(run, exited));
      co_await exited.wait();
      EXPECT_EQ(run.out, std::vector<std::string>{socket ? "socket" : "pipe"});
    });
  }
}

TEST(Process, AnswersOnItsStandardInput) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    Signal answered(loop);
    auto handlers = record(run, exited);
    handlers.on_stdin = [&](std::string_view line) {
      run.in.emplace_back(line);
      answered.notify();
    };
    auto process = Process::spawn(
        loop, shell_on_socket("while read -r line; do echo \"heard $line\" >&0; done; echo over; printf late >&0"),
        std::move(handlers));
    (*process)->write_stdin("one\n");
    co_await answered.wait();
    EXPECT_EQ(run.in, std::vector<std::string>{"heard one"});
    (*process)->write_stdin("two\n");
    co_await answered.wait();
    (*process)->write_stdin("three\n");
    (*process)->close_stdin();
    (*process)->write_stdin("not any more\n");
    co_await exited.wait();
    EXPECT_EQ(run.in, (std::vector<std::string>{"heard one", "heard two", "heard three", "late"}));
    EXPECT_EQ(run.out, std::vector<std::string>{"over"});
    EXPECT_EQ(run.status->code, 0);
  });
}

TEST(Process, MuchGoesBothWaysAtOnceThroughASocket) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell_on_socket("cat >&0"), record(run, exited));
    (*process)->write_stdin(std::string(3'000'000, 'a') + "\nend\n");
    (*process)->close_stdin();
    co_await exited.wait();
    EXPECT_EQ(total_size(run.in), 3'000'003u);
    EXPECT_EQ(run.in.back(), "end");
    for (const std::string& line : run.in) EXPECT_LE(line.size(), 64U * 1024);
  });
}

TEST(Process, WhatWasSaidOnStandardInputBeforeCanBeHadFirst) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    std::unique_ptr<Process> process;
    std::vector<std::string> before;
    auto handlers = record(run, exited);
    handlers.on_stdout = [&](std::string_view) {
      process->read_stdin();
      before = run.in;
    };
    process = std::move(*Process::spawn(loop, shell_on_socket("echo hello >&0; echo ready"), std::move(handlers)));
    co_await exited.wait();
    EXPECT_EQ(before, std::vector<std::string>{"hello"});
    EXPECT_EQ(run.in, std::vector<std::string>{"hello"}) << "once";
  });
}

// Takes lines more slowly than `yes` writes them. Ends the child when too many lines come in a row.
struct SlowReader {
  static constexpr int kTooMany = 10'000;
  static constexpr const char* kWriter = "yes $(printf %01000d 0)";
  std::unique_ptr<Process> process;
  int in_a_row = 0;
  bool has_begun = false;

  void take() {
    // The first line takes so long that from then on there is always something to read.
    const auto pause = std::chrono::microseconds(std::exchange(has_begun, true) ? 50 : 20'000);
    for (const TimePoint until = Clock::now() + pause; Clock::now() < until;) {
    }
    if (++in_a_row != kTooMany) return;
    ADD_FAILURE() << "nobody else gets a turn";
    ::kill(-process->pid(), SIGKILL);
  }
};

TEST(Process, OneThatNeverStopsWritingLeavesTheLoopToOthers) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    Signal turn(loop);
    SlowReader reader;
    auto handlers = record(run, exited);
    handlers.on_stdout = [&](std::string_view) {
      reader.take();
      turn.notify();
    };
    const std::string script = std::string("exec ") + SlowReader::kWriter;
    reader.process = std::move(*Process::spawn(loop, shell(script), std::move(handlers)));
    for (int i = 0; i < 3 && !run.status; ++i) {
      co_await turn.wait();
      reader.in_a_row = 0;
    }
    reader.process->signal_group(SIGKILL);
    if (!run.status) co_await exited.wait();
    EXPECT_EQ(run.status->signal, SIGKILL);
  });
}

TEST(Process, ASignalReachesTheWholeGroup) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    Signal started(loop);
    auto handlers = record(run, exited);
    handlers.on_stdout = [&](std::string_view) { started.notify(); };
    auto process = Process::spawn(loop, shell("sleep 1000 & echo up; wait"), std::move(handlers));
    co_await started.wait();
    (*process)->signal_group(SIGKILL);
    co_await exited.wait();
    EXPECT_EQ(run.status->signal, SIGKILL);
    EXPECT_EQ(run.status->text(), "killed by signal 9 (Killed)");
  });
}

TEST(Process, AGrandchildThatKeepsThePipeDoesNotHoldTheExitBack) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell("sleep 1000 & echo last; exit 0"), record(run, exited));
    co_await exited.wait();
    EXPECT_EQ(run.out, std::vector<std::string>{"last"});
    ::kill(-(*process)->pid(), SIGKILL);  // the grandchild
  });
}

TEST(Process, NorDoesAGrandchildThatNeverStopsWriting) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    Signal writing(loop);
    SlowReader reader;
    auto handlers = record(run, exited);
    handlers.on_stdout = [&](std::string_view) {
      reader.take();
      writing.notify();
    };
    const std::string script = std::string(SlowReader::kWriter) + " & read -r line; exit 3";
    reader.process = std::move(*Process::spawn(loop, shell(script), std::move(handlers)));
    co_await writing.wait();
    reader.in_a_row = 0;
    reader.process->write_stdin("end\n");
    reader.process->await_end(std::chrono::seconds(60));
    co_await exited.wait();
    EXPECT_EQ(run.status->code, 3);
    ::kill(-reader.process->pid(), SIGKILL);  // the grandchild
  });
}

TEST(Process, AMissingProgramIsAnError) {
  run_on_loop([](Loop& loop) -> Task<void> {
    const auto process = Process::spawn(loop, {{"/nonexistent/program"}, {}, ""}, {});
    EXPECT_FALSE(process.has_value());
    EXPECT_EQ(process.error().code, ErrorCode::kIo);
    co_return;
  });
}

TEST(Process, DestroyingItEndsTheChild) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell("sleep 1000"), record(run, exited));
    const pid_t pid = (*process)->pid();
    process->reset();
    while (!is_gone(pid)) co_await sleep_until(loop, Clock::now() + std::chrono::milliseconds(1));
    EXPECT_FALSE(run.status.has_value());
  });
}

TEST(Process, NobodyIsLeftWhenTheLoopGoes) {
  pid_t pid = 0;
  {
    Loop loop;
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell("sleep 1000"), record(run, exited));
    pid = (*process)->pid();
  }
  EXPECT_TRUE(is_gone(pid));
}

#ifdef PRETENDS
TEST(Process, OneThatTheKernelHoldsDoesNotHoldTheLoop) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell("sleep 1000"), record(run, exited));
    const pid_t pid = (*process)->pid();
    pretended.not_ended = 1;  // when it is asked for its end, the child is still in a system call
    process->reset();
    EXPECT_EQ(pretended.waits_that_block, 0);
    while (!is_gone(pid)) co_await sleep_until(loop, Clock::now() + std::chrono::milliseconds(1));
    EXPECT_EQ(pretended.waits_that_block, 0);
    EXPECT_FALSE(run.status.has_value());
  });
}

TEST(Process, OneThatCannotBeWatchedLeavesNothingOpen) {
  run_on_loop([](Loop& loop) -> Task<void> {
    for (int watched = 0; watched < 4; ++watched) {  // the process, stdout, stderr, stdin
      const auto before = open_descriptors();
      pretended.watches_left = watched;
      const auto process = Process::spawn(loop, shell_on_socket("sleep 1000"), {});
      pretended.watches_left = -1;
      EXPECT_FALSE(process.has_value());
      if (!process) EXPECT_NE(process.error().message.find("cannot watch"), std::string::npos);
      EXPECT_EQ(open_descriptors(), before) << watched;
    }
    co_return;
  });
}
#endif

}  // namespace
}  // namespace minerva::io
