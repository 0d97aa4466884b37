#include "lifeline.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>

#include "thread_share.h"

namespace minerva::engine {
namespace {

constexpr size_t kMaxLine = 256;

void obey(std::string_view line) {
    constexpr std::string_view kSharers = "sharers ";
    if (line.substr(0, kSharers.size()) == kSharers) {
        share_threads(std::atoi(std::string(line.substr(kSharers.size())).c_str()));
    }
}

// Takes what there is of stdin. false: its other end is gone.
bool read_lines(int input, std::string & partial) {
    char buffer[512];
    const ssize_t n = read(input, buffer, sizeof buffer);
    if (n < 0) {
        return errno == EINTR || errno == EAGAIN;
    }
    if (n == 0) {
        return false;
    }
    for (const char c : std::string_view(buffer, static_cast<size_t>(n))) {
        if (c == '\n') {
            obey(partial);
            partial.clear();
        } else if (partial.size() < kMaxLine) {
            partial += c;
        }
    }
    return true;
}

[[noreturn]] void watch(int input, int signals) {
    std::string partial;
    pollfd ends[] = {{input, POLLIN, 0}, {signals, POLLIN, 0}};
    while (true) {
        if (poll(ends, 2, -1) < 0) {
            continue;
        }
        if (ends[1].revents != 0 || (ends[0].revents != 0 && !read_lines(input, partial))) {
            // Exit handlers would race with the threads still running; buffered output is only the log's.
            _exit(0);
        }
    }
}

[[noreturn]] void fail(const char * what) {
    std::perror(what);
    _exit(1);
}

// Keeps stdin for us, and puts in its place a pipe on which nothing comes.
int take_stdin() {
    const int input = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int silent[2];
    if (input < 0 || pipe2(silent, O_CLOEXEC) < 0 || dup2(silent[0], STDIN_FILENO) < 0) {
        fail("minerva-engine: stdin");
    }
    close(silent[0]);
    return input;
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
        fail("minerva-engine: signalfd");
    }
    std::thread(watch, take_stdin(), signals).detach();
}

}  // namespace minerva::engine
