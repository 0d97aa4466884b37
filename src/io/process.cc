#include "io/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <deque>
#include <optional>
#include <utility>

// glibc 2.36's header lacks the linkage declaration that C++ needs.
extern "C" {
#include <sys/pidfd.h>
}

#include "io/asio.h"
#include "io/descriptor.h"

namespace minerva::io {
namespace {

constexpr std::size_t kMaxLine = 64 * 1024;
// How many reads of one stream follow each other, so that a child that never stops writing leaves time for others. They
// are more than the kernel buffers of a stream, so that nothing that an ended child wrote is lost.
constexpr int kMostReads = 128;
// How long a loop that ends waits for a child that was killed, so that the embedding program is left without a zombie.
constexpr auto kLongestDeath = std::chrono::seconds(2);

Failure system_failure(std::string_view what) {
  return fail(ErrorCode::kIo, fmt::format("{}: {}", what, std::strerror(errno)));
}

// A pipe, or a pair of sockets, where both ends read and write. Close-on-exec. The parent's end does not block.
struct Pipe {
  Descriptor read_end;
  Descriptor write_end;
  bool open(bool sockets = false) {
    std::array<int, 2> ends{};
    const int result =
        sockets ? ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) : ::pipe2(ends.data(), O_CLOEXEC);
    if (result != 0) return false;
    read_end.reset(ends[0]);
    write_end.reset(ends[1]);
    return true;
  }
};

// `descriptor` owns the file from now on. If this throws, `fd` still owns it.
void adopt(StreamDescriptor& descriptor, Descriptor& fd) {
  ::fcntl(*fd, F_SETFL, ::fcntl(*fd, F_GETFL) | O_NONBLOCK);
  descriptor.assign(*fd);
  fd.release();
}

// A priority that cannot be set is no error: the child only takes more from others.
void make_idle(pid_t pid) {
  constexpr int kWeakest = 19;
  constexpr int kWhoProcess = 1;       // IOPRIO_WHO_PROCESS, of linux/ioprio.h
  constexpr int kIdleClass = 3 << 13;  // IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(pid), kWeakest);
  ::syscall(SYS_ioprio_set, kWhoProcess, pid, kIdleClass);
}

struct SpawnAttributes {
  posix_spawn_file_actions_t actions{};
  posix_spawnattr_t attributes{};
  SpawnAttributes() {
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
  }
  SpawnAttributes(const SpawnAttributes&) = delete;
  SpawnAttributes& operator=(const SpawnAttributes&) = delete;
  ~SpawnAttributes() {
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
  }
};

// Splits what comes through a pipe or socket into lines.
struct LineReader {
  explicit LineReader(asio::io_context& context) : descriptor(context) {}
  StreamDescriptor descriptor;
  std::string partial;
  std::function<void(std::string_view)> on_line;

  void deliver(std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t newline = bytes.find('\n');
      const std::size_t room = kMaxLine - partial.size();
      const std::size_t take_bytes = std::min(newline == std::string_view::npos ? bytes.size() : newline, room);
      partial.append(bytes.substr(0, take_bytes));
      bytes.remove_prefix(take_bytes);
      const bool at_newline = !bytes.empty() && bytes.front() == '\n';
      if (at_newline) bytes.remove_prefix(1);
      if (at_newline || partial.size() >= kMaxLine) flush();
    }
  }
  void flush() {
    const std::string line = std::exchange(partial, {});
    if (on_line) on_line(line);
  }
  // Reads what is there. false: the stream is at its end.
  bool drain() {
    std::array<char, 16 * 1024> buffer{};
    for (int reads = 0; descriptor.is_open();) {
      if (reads++ == kMostReads) return true;
      const ssize_t n = ::read(descriptor.native_handle(), buffer.data(), buffer.size());
      if (n > 0) {
        deliver({buffer.data(), static_cast<std::size_t>(n)});
      } else if (n < 0 && errno == EINTR) {
        continue;
      } else if (n < 0 && errno == EAGAIN) {
        return true;
      } else {
        return false;
      }
    }
    return false;
  }
};

// A text on its way to a child's stdin, and the file that goes with the first byte.
struct Piece {
  std::string text;
  Descriptor file;
};

ssize_t write_piece(int stream, const Piece& piece) {
  if (!piece.file) return ::write(stream, piece.text.data(), piece.text.size());
  iovec text{const_cast<char*>(piece.text.data()), piece.text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  cmsghdr* const header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  const int file = *piece.file;
  std::memcpy(CMSG_DATA(header), &file, sizeof(file));
  return ::sendmsg(stream, &message, MSG_NOSIGNAL);
}

class ChildProcess final : public Process {
 public:
  // Shared with the handlers in Asio's queues, which may run after the Process is gone.
  struct State : std::enable_shared_from_this<State> {
    State(asio::io_context& context, Handlers callbacks)
        : handlers(std::move(callbacks)), out(context), err(context), in(context), pidfd(context) {
      out.on_line = handlers.on_stdout;
      err.on_line = handlers.on_stderr;
      in.on_line = handlers.on_stdin;
    }
    // Nobody can learn of the child's end any more: the loop is at its end, or the child could not be watched.
    ~State() {
      if (reaped || pid < 0 || reap()) return;
      await_end(kLongestDeath);
      reap();
    }
    State(const State&) = delete;
    State& operator=(const State&) = delete;

    Handlers handlers;
    LineReader out;
    LineReader err;
    LineReader in;  // reads only if it is a socket
    StreamDescriptor pidfd;
    bool in_is_socket = false;
    std::deque<Piece> in_queue;
    bool in_writing = false;
    bool in_closing = false;
    pid_t pid = -1;
    bool reaped = false;
    bool abandoned = false;

    void watch(LineReader& reader) {
      reader.descriptor.async_wait(StreamDescriptor::wait_read,
                                   [self = shared_from_this(), &reader](const boost::system::error_code& error) {
                                     if (error || self->abandoned) return;
                                     if (reader.drain() && !self->abandoned) self->watch(reader);
                                   });
    }

    void read_stdin() {
      if (in_is_socket) in.drain();
    }

    void watch_exit() {
      pidfd.async_wait(StreamDescriptor::wait_read,
                       [self = shared_from_this()](const boost::system::error_code& error) {
                         if (!error && !self->reaped) self->exited();
                       });
    }

    // The exit status; nothing while the child has not ended. Never blocks.
    std::optional<ExitStatus> reap() {
      siginfo_t info{};
      if (::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG) == 0 && info.si_pid == 0) {
        return std::nullopt;
      }
      reaped = true;
      ExitStatus status;
      (info.si_code == CLD_EXITED ? status.code : status.signal) = info.si_status;
      return status;
    }

    void await_end(Duration most) const {
      if (reaped) return;
      const Descriptor process(::pidfd_open(pid, 0));
      pollfd ended{*process, POLLIN, 0};
      ::poll(&ended, 1, static_cast<int>(std::chrono::ceil<std::chrono::milliseconds>(most).count()));
    }

    void exited() {
      const std::optional<ExitStatus> status = reap();
      if (!status) return watch_exit();  // a spurious wake-up
      if (abandoned) return close_all();
      read_stdin();
      out.drain();
      err.drain();
      for (LineReader* reader : {&in, &out, &err}) {
        if (!reader->partial.empty()) reader->flush();
      }
      close_all();
      abandoned = true;
      const auto on_exit = std::exchange(handlers.on_exit, nullptr);
      if (on_exit) on_exit(*status);
    }

    // Nobody wants to know of the end any more. The loop reaps the child when it has ended, and does not wait for that:
    // the kernel may hold the child for long (a disk that does not answer, much memory to give back).
    void abandon() {
      abandoned = true;
      if (!reaped) ::kill(-pid, SIGKILL);
      if (reaped || reap() || !pidfd.is_open()) return close_all();
      close_streams();
    }

    void close_streams() {
      boost::system::error_code ignored;
      out.descriptor.close(ignored);
      err.descriptor.close(ignored);
      in.descriptor.close(ignored);
    }

    void close_all() {
      close_streams();
      boost::system::error_code ignored;
      pidfd.close(ignored);
    }

    void write_more() {
      while (in.descriptor.is_open() && !in_queue.empty()) {
        Piece& piece = in_queue.front();
        const ssize_t n = write_piece(in.descriptor.native_handle(), piece);
        if (n > 0) {
          piece.file.reset();
          piece.text.erase(0, static_cast<std::size_t>(n));
          if (piece.text.empty()) in_queue.pop_front();
        } else if (n < 0 && errno == EINTR) {
          continue;
        } else if (n < 0 && errno == EAGAIN) {
          if (in_writing) return;
          in_writing = true;
          in.descriptor.async_wait(StreamDescriptor::wait_write,
                                   [self = shared_from_this()](const boost::system::error_code& error) {
                                     self->in_writing = false;
                                     if (!error) self->write_more();
                                   });
          return;
        } else {
          in_queue.clear();  // the child no longer reads
        }
      }
      if (in_closing && in.descriptor.is_open()) end_stdin();
    }

    void end_stdin() {
      if (in_is_socket) {
        ::shutdown(in.descriptor.native_handle(), SHUT_WR);
        return;
      }
      boost::system::error_code ignored;
      in.descriptor.close(ignored);
    }
  };

  explicit ChildProcess(std::shared_ptr<State> state) : state_(std::move(state)) {}

  ~ChildProcess() override { state_->abandon(); }

  pid_t pid() const override { return state_->pid; }

  void write_stdin(std::string_view text) override { write_stdin(text, Descriptor()); }

  void write_stdin(std::string_view text, Descriptor file) override {
    if (text.empty() || !state_->in.descriptor.is_open() || state_->in_closing) return;
    state_->in_queue.push_back({std::string(text), std::move(file)});
    state_->write_more();
  }

  void close_stdin() override {
    state_->in_closing = true;
    state_->write_more();
  }

  void read_stdin() override { state_->read_stdin(); }

  void await_end(Duration most) override { state_->await_end(most); }

  void signal_group(int signal) override {
    if (!state_->reaped) ::kill(-state_->pid, signal);
  }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace

std::string ExitStatus::text() const {
  if (signal != 0) {
    const char* const name = ::sigdescr_np(signal);
    return fmt::format("killed by signal {} ({})", signal, name == nullptr ? "unknown" : name);
  }
  return fmt::format("exit code {}", code);
}

Result<std::unique_ptr<Process>> Process::spawn(Loop& loop, const ProcessSpec& spec, Handlers handlers) {
  Pipe in;
  Pipe out;
  Pipe err;
  if (!in.open(spec.stdin_is_socket) || !out.open() || !err.open()) return system_failure("cannot make a pipe");

  SpawnAttributes spawn;
  posix_spawn_file_actions_adddup2(&spawn.actions, *in.read_end, 0);
  posix_spawn_file_actions_adddup2(&spawn.actions, *out.write_end, 1);
  posix_spawn_file_actions_adddup2(&spawn.actions, *err.write_end, 2);
  posix_spawn_file_actions_addclosefrom_np(&spawn.actions, 3);
  if (!spec.working_directory.empty()) {
    posix_spawn_file_actions_addchdir_np(&spawn.actions, spec.working_directory.c_str());
  }
  sigset_t all;
  sigset_t none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&spawn.attributes, &all);
  posix_spawnattr_setsigmask(&spawn.attributes, &none);
  posix_spawnattr_setpgroup(&spawn.attributes, 0);
  posix_spawnattr_setflags(&spawn.attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);

  std::vector<char*> argv;
  for (const std::string& argument : spec.argv) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<char*> environment;
  for (const std::string& variable : spec.environment) environment.push_back(const_cast<char*>(variable.c_str()));
  environment.push_back(nullptr);

  pid_t pid = -1;
  const int error = ::posix_spawn(&pid, spec.argv.front().c_str(), &spawn.actions, &spawn.attributes, argv.data(),
                                  environment.data());
  if (error != 0) {
    return fail(ErrorCode::kIo, fmt::format("cannot start {}: {}", spec.argv.front(), std::strerror(error)));
  }

  if (spec.idle) make_idle(pid);
  auto state = std::make_shared<ChildProcess::State>(loop.impl().context, std::move(handlers));
  state->pid = pid;
  auto process = std::make_unique<ChildProcess>(state);  // from here on the destructor of the Process cleans up
  Descriptor pidfd(::pidfd_open(pid, 0));
  if (!pidfd) return system_failure("cannot watch the child process");
  try {
    adopt(state->pidfd, pidfd);
    adopt(state->out.descriptor, out.read_end);
    adopt(state->err.descriptor, err.read_end);
    adopt(state->in.descriptor, in.write_end);
    state->in_is_socket = spec.stdin_is_socket;
  } catch (const boost::system::system_error& failure) {
    return fail(ErrorCode::kIo, fmt::format("cannot watch the child process: {}", failure.what()));
  }
  state->watch(state->out);
  state->watch(state->err);
  if (spec.stdin_is_socket) state->watch(state->in);
  state->watch_exit();
  return process;
}

}  // namespace minerva::io
