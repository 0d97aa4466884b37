#include "lifeline.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <thread>

namespace minerva::engine {
namespace {

[[noreturn]] void watch(int signals) {
    // No events asked of stdin: POLLHUP and POLLERR are reported anyway, and input is the server's to read.
    pollfd ends[] = {{STDIN_FILENO, 0, 0}, {signals, POLLIN, 0}};
    while (poll(ends, 2, -1) < 0 && errno == EINTR) {
    }
    // Exit handlers would race with the threads still running; buffered output is only the log's.
    _exit(0);
}

}  // namespace

void hold_lifeline() {
    // The parent may be gone before the kernel knows of the wish to follow it: look again afterwards.
    const pid_t parent = getppid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) {
        _exit(0);
    }
    sigset_t ends;
    sigemptyset(&ends);
    sigaddset(&ends, SIGTERM);
    sigaddset(&ends, SIGINT);
    sigprocmask(SIG_BLOCK, &ends, nullptr);
    const int signals = signalfd(-1, &ends, SFD_CLOEXEC);
    if (signals < 0) {
        std::perror("minerva-engine: signalfd");
        _exit(1);
    }
    std::thread(watch, signals).detach();
}

}  // namespace minerva::engine
