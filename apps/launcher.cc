// minerva-launcher PROGRAM ARGS...: runs a command engine (src/engine/command_engine.h) so that none of its processes
// outlives the daemon.
//
// The launcher stays beside the program. Whatever the program starts, however it detaches itself, becomes a child of
// the launcher in the end. The launcher kills these children when the program ends, and also when the launcher's own
// stdin ends. The daemon holds the other end of that stdin, which the kernel closes even if the daemon is killed. The
// launcher ends with the program's exit status, but only once all children are gone: their memory is free when the
// daemon learns of the end.
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>

namespace {

constexpr int kCannotStart = 127;  // the code that shells use
constexpr int kSoonMs = 10;

void complain(const char* what, const char* subject) {
  std::fprintf(stderr, "minerva-launcher: error: %s %s: %s\n", what, subject, std::strerror(errno));
}

[[noreturn]] void become(char** argv, pid_t launcher, const sigset_t& signals) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (::getppid() != launcher) ::_exit(kCannotStart);  // the parent ended before prctl() above
  ::sigprocmask(SIG_SETMASK, &signals, nullptr);
  const int nothing = ::open("/dev/null", O_RDONLY);
  if (nothing >= 0) ::dup2(nothing, STDIN_FILENO);
  ::execvp(argv[0], argv);
  complain("cannot start", argv[0]);
  ::_exit(kCannotStart);
}

// The parent of a process: the second field after the process's name. The name may hold any characters. Source:
// proc(5).
pid_t parent_of(const std::string& pid) {
  std::ifstream file("/proc/" + pid + "/stat");
  const std::string stat{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::size_t name_end = stat.rfind(')');
  if (name_end == std::string::npos) return -1;
  std::istringstream fields(stat.substr(name_end + 1));
  std::string state;
  pid_t parent = -1;
  fields >> state >> parent;
  return parent;
}

void kill_children() {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (failure != std::errc() || end != name.data() + name.size()) continue;
    if (parent_of(name) == ::getpid()) ::kill(pid, SIGKILL);
  }
}

// Reaps the children that have ended. Returns false when no child is left.
bool reap(pid_t program, bool& ended, int& status) {
  while (true) {
    int one = 0;
    const pid_t pid = ::waitpid(-1, &one, WNOHANG);
    if (pid == program) {
      ended = true;
      status = one;
    } else if (pid == 0) {
      return true;
    } else if (pid < 0 && errno != EINTR) {
      return false;
    }
  }
}

[[noreturn]] void end_as(int status) {
  if (WIFEXITED(status)) std::_Exit(WEXITSTATUS(status));
  const rlimit no_core{0, 0};  // the program already had its chance to leave a core file
  ::setrlimit(RLIMIT_CORE, &no_core);
  ::signal(WTERMSIG(status), SIG_DFL);
  sigset_t none;
  sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::raise(WTERMSIG(status));
  std::_Exit(kCannotStart);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: minerva-launcher PROGRAM ARGS...\n");
    return 2;
  }
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  ::sigprocmask(SIG_SETMASK, &all, &before);  // signals to the group are meant for the program
  sigset_t child;
  sigemptyset(&child);
  sigaddset(&child, SIGCHLD);
  const int signals = ::signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);

  const pid_t self = ::getpid();
  const pid_t program = ::fork();
  if (program == 0) become(argv + 1, self, before);
  if (program < 0 || signals < 0) {
    complain("cannot start", argv[1]);
    return kCannotStart;
  }

  bool ended = false;
  bool told_to_end = false;
  int status = 0;
  while (reap(program, ended, status)) {
    const bool ending = ended || told_to_end;
    if (ending) kill_children();  // again and again: the children of a killed process become ours
    std::array<pollfd, 2> waited = {{{signals, POLLIN, 0}, {told_to_end ? -1 : STDIN_FILENO, POLLIN, 0}}};
    ::poll(waited.data(), waited.size(), ending ? kSoonMs : -1);
    std::array<char, 4096> ignored{};
    while (::read(signals, ignored.data(), ignored.size()) > 0) {
    }
    if (waited[1].revents != 0) {
      const ssize_t n = ::read(STDIN_FILENO, ignored.data(), ignored.size());
      told_to_end = n == 0 || (n < 0 && errno != EINTR && errno != EAGAIN);
    }
  }
  end_as(status);
}
