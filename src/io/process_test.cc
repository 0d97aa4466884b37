#include "io/process.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "io/io_test_support.h"

namespace minerva::io {
namespace {

struct Recorded {
  std::vector<std::string> out;
  std::vector<std::string> err;
  std::optional<ExitStatus> status;
};

Process::Handlers record(Recorded& run, Signal& exited) {
  return {[&](std::string_view line) { run.out.emplace_back(line); },
          [&](std::string_view line) { run.err.emplace_back(line); },
          [&](ExitStatus status) {
            run.status = status;
            exited.notify();
          }};
}

ProcessSpec shell(std::string script) { return {{"/bin/sh", "-c", std::move(script)}, {"ONLY=this"}, ""}; }

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

TEST(Process, FeedsStandardInputAndClosesIt) {
  run_on_loop([](Loop& loop) -> Task<void> {
    Recorded run;
    Signal exited(loop);
    auto process = Process::spawn(loop, shell("cat"), record(run, exited));
    (*process)->write_stdin(std::string(200000, 'a') + "\nend\n");
    (*process)->close_stdin();
    co_await exited.wait();
    std::size_t total = 0;
    for (const std::string& line : run.out) total += line.size();
    EXPECT_EQ(total, 200003u);
    EXPECT_EQ(run.out.back(), "end");
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
    EXPECT_EQ(::kill(pid, 0), -1);
    EXPECT_EQ(errno, ESRCH);
    EXPECT_FALSE(run.status.has_value());
    co_return;
  });
}

}  // namespace
}  // namespace minerva::io
