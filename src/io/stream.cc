// Long because sockets with and without TLS are one type, whose operations share deadlines and the ways to end.
#include "io/stream.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "io/asio.h"
#include "io/descriptor.h"
#include "io/service_manager.h"
#include "minerva/base/check.h"

namespace minerva::io {
namespace {

constexpr int kBacklog = 512;
constexpr auto kAcceptPause = std::chrono::milliseconds(50);
// How often to look at a peer that has sent more than was read: its end cannot be learned from readability then.
constexpr auto kPeerPoll = std::chrono::milliseconds(250);

std::error_code last_error() { return {errno, std::generic_category()}; }

bool would_block(int error) { return error == EAGAIN || error == EWOULDBLOCK; }

// One socket. Shared with the handlers in Asio's queues, which may run after the Stream is gone.
struct Socket : std::enable_shared_from_this<Socket> {
  enum Direction { kRead, kWrite };

  Socket(asio::io_context& io_context, int fd) : context(io_context), descriptor(io_context, fd) {}

  // A suspended operation of one direction, its deadline, and how to try it again.
  struct Pending {
    std::coroutine_handle<> waiter;
    IoResult* result = nullptr;
    std::span<char> read_buffer;
    std::span<std::string_view> write_buffers;
    TimePoint deadline = TimePoint::max();
    std::unique_ptr<SteadyTimer> timer;
    TimePoint timer_at = TimePoint::max();
    bool waiting = false;  // it waits for readiness in Asio's queue
  };

  asio::io_context& context;
  StreamDescriptor descriptor;
  std::array<Pending, 2> pending;
  std::function<void()> gone;
  // The last read took all there was. The next read waits for readiness first, which saves a system call.
  bool drained = false;
  std::unique_ptr<SteadyTimer> watch_timer;

  int fd() { return descriptor.native_handle(); }

  // ---- operations ----

  bool try_read(std::span<char> buffer, IoResult& result) {
    if (!descriptor.is_open()) return finish(result, 0, std::make_error_code(std::errc::operation_canceled));
    if (drained) return false;
    while (true) {
      const ssize_t n = ::recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT);
      if (n >= 0) {
        drained = n > 0 && static_cast<std::size_t>(n) < buffer.size();
        return finish(result, static_cast<std::size_t>(n), {});
      }
      if (errno == EINTR) continue;
      if (would_block(errno)) return false;
      return finish(result, 0, last_error());
    }
  }

  bool try_write(std::span<std::string_view>& buffers, IoResult& result) {
    if (!descriptor.is_open()) return finish(result, 0, std::make_error_code(std::errc::operation_canceled));
    while (true) {
      while (!buffers.empty() && buffers.front().empty()) buffers = buffers.subspan(1);
      if (buffers.empty()) return finish(result, result.bytes, {});
      std::array<iovec, 8> vectors{};
      const std::size_t count = std::min(buffers.size(), vectors.size());
      for (std::size_t i = 0; i < count; ++i) {
        vectors[i] = {const_cast<char*>(buffers[i].data()), buffers[i].size()};
      }
      msghdr message{};
      message.msg_iov = vectors.data();
      message.msg_iovlen = count;
      const ssize_t n = ::sendmsg(fd(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (n < 0) {
        if (errno == EINTR) continue;
        if (would_block(errno)) return false;
        return finish(result, result.bytes, last_error());
      }
      result.bytes += static_cast<std::size_t>(n);
      for (auto left = static_cast<std::size_t>(n); left > 0;) {
        const std::size_t step = std::min(left, buffers.front().size());
        buffers.front().remove_prefix(step);
        left -= step;
        if (buffers.front().empty()) buffers = buffers.subspan(1);
      }
    }
  }

  static bool finish(IoResult& result, std::size_t bytes, std::error_code error) {
    result = {bytes, error};
    return true;
  }

  void start(Direction direction, IoResult& result, std::coroutine_handle<> waiter) {
    Pending& p = pending[direction];
    check(!p.waiter, "two reads or two writes at once on one stream");
    p.waiter = waiter;
    p.result = &result;
    if (!descriptor.is_open()) {
      complete(direction, std::make_error_code(std::errc::operation_canceled));
      return;
    }
    wait_ready(direction);
    arm_deadline(direction);
  }

  void wait_ready(Direction direction) {
    Pending& p = pending[direction];
    if (p.waiting) return;
    p.waiting = true;
    descriptor.async_wait(direction == kRead ? StreamDescriptor::wait_read : StreamDescriptor::wait_write,
                          [self = shared_from_this(), direction](const boost::system::error_code& error) {
                            self->pending[direction].waiting = false;
                            if (direction == kRead) self->drained = false;
                            if (!error) self->ready(direction);
                          });
  }

  void ready(Direction direction) {
    Pending& p = pending[direction];
    if (!p.waiter) {
      if (direction == kRead && gone) look_at_peer();
      return;
    }
    const bool done = direction == kRead ? try_read(p.read_buffer, *p.result) : try_write(p.write_buffers, *p.result);
    if (!done) {
      wait_ready(direction);
      return;
    }
    p.result = nullptr;
    std::exchange(p.waiter, nullptr).resume();
  }

  // Ends a suspended operation with an error. The loop resumes the operation, not the caller of this.
  void complete(Direction direction, std::error_code error) {
    Pending& p = pending[direction];
    if (!p.waiter) return;
    p.result->error = error;
    p.result = nullptr;
    asio::post(context, [self = shared_from_this(), waiter = std::exchange(p.waiter, nullptr)] { waiter.resume(); });
  }

  // ---- deadlines: a timer is not armed again when the deadline moves on; it fires early and looks again ----

  void set_deadline(Direction direction, TimePoint when) {
    pending[direction].deadline = when;
    if (pending[direction].waiter) arm_deadline(direction);
  }

  void arm_deadline(Direction direction) {
    Pending& p = pending[direction];
    if (p.deadline == TimePoint::max() || p.timer_at <= p.deadline) return;
    if (!p.timer) p.timer = std::make_unique<SteadyTimer>(context);
    p.timer_at = p.deadline;
    p.timer->expires_at(p.deadline);
    p.timer->async_wait([self = shared_from_this(), direction](const boost::system::error_code& error) {
      if (error) return;
      Pending& q = self->pending[direction];
      q.timer_at = TimePoint::max();
      if (!q.waiter) return;
      if (Clock::now() >= q.deadline) {
        self->complete(direction, std::make_error_code(std::errc::timed_out));
      } else {
        self->arm_deadline(direction);
      }
    });
  }

  // ---- watching for the peer's end: the wait for readability outlives the watch and serves the next read ----

  void watch_peer(std::function<void()> callback) {
    gone = std::move(callback);
    if (descriptor.is_open()) wait_ready(kRead);
  }

  void unwatch_peer() {
    gone = nullptr;
    if (watch_timer) watch_timer->cancel();
  }

  // Requires: the peer is watched, and no read is under way.
  void look_at_peer() {
    pollfd state{fd(), POLLIN | POLLRDHUP, 0};
    if (::poll(&state, 1, 0) < 0) state.revents = 0;
    if ((state.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0) {
      std::exchange(gone, nullptr)();
      return;
    }
    if ((state.revents & POLLIN) == 0) {
      wait_ready(kRead);
      return;
    }
    if (!watch_timer) watch_timer = std::make_unique<SteadyTimer>(context);
    watch_timer->expires_after(kPeerPoll);
    watch_timer->async_wait([self = shared_from_this()](const boost::system::error_code& error) {
      if (!error && self->gone && self->descriptor.is_open()) self->look_at_peer();
    });
  }

  void close() {
    unwatch_peer();
    boost::system::error_code ignored;
    descriptor.close(ignored);
    for (Pending& p : pending) {
      if (p.timer) p.timer->cancel();
    }
    for (const Direction direction : {kRead, kWrite}) {
      complete(direction, std::make_error_code(std::errc::operation_canceled));
    }
  }
};

class SocketStream final : public Stream {
 public:
  SocketStream(asio::io_context& context, int fd, std::string peer)
      : socket_(std::make_shared<Socket>(context, fd)), peer_(std::move(peer)) {}
  ~SocketStream() override {
    check(!socket_->pending[0].waiter && !socket_->pending[1].waiter, "a stream is destroyed while it is awaited");
    socket_->close();
  }

  void set_read_deadline(TimePoint when) override { socket_->set_deadline(Socket::kRead, when); }
  void set_write_deadline(TimePoint when) override { socket_->set_deadline(Socket::kWrite, when); }
  void watch_peer(std::function<void()> gone) override { socket_->watch_peer(std::move(gone)); }
  void unwatch_peer() override { socket_->unwatch_peer(); }
  void shutdown_write() override {
    if (socket_->descriptor.is_open()) ::shutdown(socket_->fd(), SHUT_WR);
  }
  void close() override { socket_->close(); }
  std::string peer_name() const override { return peer_; }

  bool try_read(std::span<char> buffer, IoResult& result) override { return socket_->try_read(buffer, result); }
  void start_read(std::span<char> buffer, IoResult& result, std::coroutine_handle<> waiter) override {
    socket_->pending[Socket::kRead].read_buffer = buffer;
    socket_->start(Socket::kRead, result, waiter);
  }
  bool try_write(std::span<std::string_view>& buffers, IoResult& result) override {
    return socket_->try_write(buffers, result);
  }
  void start_write(std::span<std::string_view> buffers, IoResult& result, std::coroutine_handle<> waiter) override {
    socket_->pending[Socket::kWrite].write_buffers = buffers;
    socket_->start(Socket::kWrite, result, waiter);
  }

 private:
  std::shared_ptr<Socket> socket_;
  std::string peer_;
};

// ---- addresses ----

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  int family = AF_UNSPEC;
  sockaddr* raw() { return reinterpret_cast<sockaddr*>(&storage); }
};

// Requires: the address comes from parse_address().
SocketAddress to_system(const Address& address) {
  SocketAddress result;
  if (address.is_unix()) {
    auto* un = reinterpret_cast<sockaddr_un*>(&result.storage);
    un->sun_family = AF_UNIX;
    std::memcpy(un->sun_path, address.unix_path.c_str(), address.unix_path.size() + 1);
    result.length = sizeof(sockaddr_un);
    result.family = AF_UNIX;
    return result;
  }
  const std::string host = address.host == "localhost" ? "127.0.0.1" : address.host;
  auto* v4 = reinterpret_cast<sockaddr_in*>(&result.storage);
  if (::inet_pton(AF_INET, host.c_str(), &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(address.port);
    result.length = sizeof(sockaddr_in);
    result.family = AF_INET;
    return result;
  }
  auto* v6 = reinterpret_cast<sockaddr_in6*>(&result.storage);
  ::inet_pton(AF_INET6, host.c_str(), &v6->sin6_addr);
  v6->sin6_family = AF_INET6;
  v6->sin6_port = htons(address.port);
  result.length = sizeof(sockaddr_in6);
  result.family = AF_INET6;
  return result;
}

std::string name_of(const sockaddr_storage& storage) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    ::inet_ntop(AF_INET, &v4.sin_addr, text.data(), text.size());
    return fmt::format("{}:{}", text.data(), ntohs(v4.sin_port));
  }
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    ::inet_ntop(AF_INET6, &v6.sin6_addr, text.data(), text.size());
    return fmt::format("[{}]:{}", text.data(), ntohs(v6.sin6_port));
  }
  return "unix";
}

std::uint16_t port_of(const sockaddr_storage& storage) {
  if (storage.ss_family == AF_INET) return ntohs(reinterpret_cast<const sockaddr_in&>(storage).sin_port);
  return ntohs(reinterpret_cast<const sockaddr_in6&>(storage).sin6_port);
}

void set_no_delay(int fd, int family) {
  const int on = 1;
  if (family != AF_UNIX) ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

// ---- listening ----

class SocketListener final : public Listener {
 public:
  struct State : std::enable_shared_from_this<State> {
    State(asio::io_context& io_context, int fd, std::function<void(std::unique_ptr<Stream>)> callback)
        : context(io_context), descriptor(io_context, fd), pause(io_context), accepted(std::move(callback)) {}
    asio::io_context& context;
    StreamDescriptor descriptor;
    SteadyTimer pause;
    std::function<void(std::unique_ptr<Stream>)> accepted;
    bool closed = false;

    void wait() {
      descriptor.async_wait(StreamDescriptor::wait_read,
                            [self = shared_from_this()](const boost::system::error_code& error) {
                              if (!error && !self->closed) self->accept_all();
                            });
    }

    void accept_all() {
      // Bounded, so that a flood of new connections does not keep the loop from the connections it has.
      for (int i = 0; i < 64 && !closed; ++i) {
        sockaddr_storage peer{};
        socklen_t length = sizeof peer;
        const int fd = ::accept4(descriptor.native_handle(), reinterpret_cast<sockaddr*>(&peer), &length,
                                 SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
          set_no_delay(fd, peer.ss_family);
          accepted(std::make_unique<SocketStream>(context, fd, name_of(peer)));
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
          // No descriptor is free. The connection stays in the backlog; try again when one may have been closed.
          pause.expires_after(kAcceptPause);
          pause.async_wait([self = shared_from_this()](const boost::system::error_code& error) {
            if (!error && !self->closed) self->accept_all();
          });
          return;
        } else if (would_block(errno)) {
          break;
        }
      }
      if (!closed) wait();
    }
  };

  // `owns_file`: whether this listener made the file of a Unix socket.
  SocketListener(std::shared_ptr<State> state, Address address, bool owns_file)
      : state_(std::move(state)), address_(std::move(address)), owns_file_(owns_file) {
    if (owns_file_ && ::lstat(address_.unix_path.c_str(), &made_) != 0) owns_file_ = false;
  }
  ~SocketListener() override {
    state_->closed = true;
    boost::system::error_code ignored;
    state_->descriptor.close(ignored);
    state_->pause.cancel();
    if (owns_file_) remove_socket();
  }
  const Address& address() const override { return address_; }

 private:
  // Removes the socket's file if it still is the one that was made: another program may have put its own in that place.
  void remove_socket() const {
    struct stat now{};
    const bool same = ::lstat(address_.unix_path.c_str(), &now) == 0 && S_ISSOCK(now.st_mode) &&
                      now.st_dev == made_.st_dev && now.st_ino == made_.st_ino;
    if (same) ::unlink(address_.unix_path.c_str());
  }

  std::shared_ptr<State> state_;
  Address address_;
  bool owns_file_;
  struct stat made_{};  // the socket's file
};

Failure listen_failure(const Address& address, int error) {
  std::string advice;
  if (error == EADDRINUSE) {
    advice = "; another program listens there: stop it or choose another address with --listen";
  } else if (error == EACCES) {
    advice = "; choose a port above 1023 or a folder you may write to";
  } else if (error == ENOENT) {
    advice = "; the folder of the socket does not exist";
  }
  return fail(ErrorCode::kIo, fmt::format("cannot listen on {}: {}{}", address.text(), std::strerror(error), advice));
}

// A socket file of this user on which nobody answers is left over from a killed process.
bool remove_stale_socket(const Address& address) {
  struct stat info{};
  if (::lstat(address.unix_path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return false;
  if (info.st_uid != ::geteuid()) return false;
  SocketAddress target = to_system(address);
  const Descriptor probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe) return false;
  if (::connect(*probe, target.raw(), target.length) == 0 || errno != ECONNREFUSED) return false;
  return ::unlink(address.unix_path.c_str()) == 0;
}

}  // namespace

Result<std::unique_ptr<Listener>> Listener::open(Loop& loop, const Address& address,
                                                 std::function<void(std::unique_ptr<Stream>)> accepted) {
  SocketAddress target = to_system(address);
  Descriptor socket(::socket(target.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return listen_failure(address, errno);
  const int on = 1;
  if (!address.is_unix()) ::setsockopt(*socket, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);

  const auto bind_private = [&] {
    const mode_t before = ::umask(0177);  // a Unix socket has mode 0600 from its first moment
    const int result = ::bind(*socket, target.raw(), target.length);
    const int error = errno;
    ::umask(before);
    errno = error;
    return result;
  };
  if (bind_private() != 0) {
    const int error = errno;
    const bool retry = error == EADDRINUSE && address.is_unix() && remove_stale_socket(address);
    if (!retry || bind_private() != 0) return listen_failure(address, error);
  }
  if (::listen(*socket, kBacklog) != 0) return listen_failure(address, errno);

  Address bound = address;
  if (!address.is_unix()) {
    sockaddr_storage name{};
    socklen_t length = sizeof name;
    ::getsockname(*socket, reinterpret_cast<sockaddr*>(&name), &length);
    bound.port = port_of(name);
  }
  auto state = std::make_shared<SocketListener::State>(loop.impl().context, socket.release(), std::move(accepted));
  state->wait();
  return std::make_unique<SocketListener>(std::move(state), std::move(bound), address.is_unix());
}

std::unique_ptr<Listener> adopt_listener(Loop& loop, int socket, const Address& address,
                                         std::function<void(std::unique_ptr<Stream>)> accepted) {
  auto state = std::make_shared<SocketListener::State>(loop.impl().context, socket, std::move(accepted));
  state->wait();
  return std::make_unique<SocketListener>(std::move(state), address, /*owns_file=*/false);
}

namespace {

// Suspends until the descriptor can be written to, or until the deadline.
struct WritableOrTimeout {
  asio::io_context& context;
  StreamDescriptor& descriptor;
  TimePoint deadline;

  struct State {
    explicit State(asio::io_context& io_context) : timer(io_context) {}
    SteadyTimer timer;
    std::coroutine_handle<> waiter;
  };
  bool await_ready() const { return false; }
  void await_suspend(std::coroutine_handle<> handle) {
    auto state = std::make_shared<State>(context);
    state->waiter = handle;
    state->timer.expires_at(deadline);
    state->timer.async_wait([state](const boost::system::error_code& error) {
      if (!error && state->waiter) std::exchange(state->waiter, nullptr).resume();
    });
    descriptor.async_wait(StreamDescriptor::wait_write, [state](const boost::system::error_code&) {
      if (!state->waiter) return;
      state->timer.cancel();
      std::exchange(state->waiter, nullptr).resume();
    });
  }
  void await_resume() const {}
};

}  // namespace

Task<Result<std::unique_ptr<Stream>>> connect(Loop& loop, Address address, TimePoint deadline) {
  asio::io_context& context = loop.impl().context;
  const auto failure = [&address](int error) {
    return fail(ErrorCode::kIo, fmt::format("cannot connect to {}: {}", address.text(), std::strerror(error)));
  };
  SocketAddress target = to_system(address);
  Descriptor socket(::socket(target.family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) co_return failure(errno);
  set_no_delay(*socket, target.family);

  while (::connect(*socket, target.raw(), target.length) != 0) {
    const int error = errno;
    if (error == EINTR) continue;
    if (error == EINPROGRESS) {
      StreamDescriptor descriptor(context, *socket);
      co_await WritableOrTimeout{context, descriptor, deadline};
      descriptor.release();
      pollfd state{*socket, POLLOUT, 0};
      if (::poll(&state, 1, 0) == 0) co_return failure(ETIMEDOUT);
      int result = 0;
      socklen_t length = sizeof result;
      ::getsockopt(*socket, SOL_SOCKET, SO_ERROR, &result, &length);
      if (result != 0) co_return failure(result);
      break;
    }
    // A Unix listener whose backlog is full refuses at once, and gives no sign when there is room again.
    if (error != EAGAIN || Clock::now() >= deadline) co_return failure(error == EAGAIN ? ETIMEDOUT : error);
    co_await sleep_until(loop, std::min(deadline, Clock::now() + std::chrono::milliseconds(2)));
  }
  co_return std::make_unique<SocketStream>(context, socket.release(), address.text());
}

}  // namespace minerva::io
