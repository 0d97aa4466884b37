#include "io/service_manager.h"

#include <gtest/gtest.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>

#include "io/io_test_support.h"

namespace minerva::io {
namespace {

// Plays systemd for these tests: a socket with an abstract name.
class Manager {
 public:
  Manager()
      : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)), name_("@minerva-test-" + std::to_string(::getpid())) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    name_.copy(address.sun_path, name_.size());
    address.sun_path[0] = 0;
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name_.size());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<const sockaddr*>(&address), length), 0);
    ::setenv("NOTIFY_SOCKET", name_.c_str(), 1);
  }
  ~Manager() { ::close(fd_); }
  // The next message; empty if there is none.
  std::string message() const {
    std::array<char, 256> text{};
    const ssize_t size = ::recv(fd_, text.data(), text.size(), MSG_DONTWAIT);
    return size < 0 ? "" : std::string(text.data(), static_cast<std::size_t>(size));
  }

 private:
  int fd_;
  std::string name_;
};

TEST(ServiceManager, IsToldWhatTheServiceDoes) {
  const Manager systemd;
  const ServiceManager manager;
  EXPECT_EQ(::getenv("NOTIFY_SOCKET"), nullptr);
  manager.ready();
  EXPECT_EQ(systemd.message(), "READY=1");
  manager.stopping();
  EXPECT_EQ(systemd.message(), "STOPPING=1");
}

TEST(ServiceManager, IsToldAgainAndAgainThatTheLoopRuns) {
  const Manager systemd;
  ::setenv("WATCHDOG_USEC", "2000", 1);
  ::setenv("WATCHDOG_PID", std::to_string(::getpid()).c_str(), 1);
  const ServiceManager manager;
  EXPECT_EQ(::getenv("WATCHDOG_USEC"), nullptr);
  run_on_loop([&](Loop& loop) -> Task<void> {
    Timer timer(loop);
    manager.keep_alive(timer);
    for (int told = 0; told < 3;) {
      if (systemd.message() == "WATCHDOG=1") ++told;
      co_await sleep_until(loop, Clock::now() + std::chrono::milliseconds(1));
    }
  });
}

TEST(ServiceManager, AWatchdogOfAnotherProcessIsNotFed) {
  const Manager systemd;
  ::setenv("WATCHDOG_USEC", "2000", 1);
  ::setenv("WATCHDOG_PID", "1", 1);
  const ServiceManager manager;
  Loop loop;
  Timer timer(loop);
  manager.keep_alive(timer);
  EXPECT_EQ(systemd.message(), "");
}

TEST(ServiceManager, NobodyIsToldAnythingWhereThereIsNone) {
  ::unsetenv("NOTIFY_SOCKET");
  const ServiceManager manager;
  manager.ready();
  EXPECT_TRUE(manager.sockets_left().empty());
}

// The sockets come as descriptors 3 and up, which the test program may use itself: so a child process takes them.
TEST(ServiceManager, HandsOverTheSocketOfAnAddress) {
  EXPECT_EXIT(
      {
        for (int fd = 3; fd < 64; ++fd) ::close(fd);
        const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        ::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof address);
        ::listen(socket, 8);
        socklen_t length = sizeof address;
        ::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &length);
        ::socket(AF_INET, SOCK_STREAM, 0);  // listens nowhere
        ::setenv("LISTEN_FDS", "2", 1);
        ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
        ServiceManager manager;
        const std::uint16_t port = ntohs(address.sin_port);
        const bool other = manager.take_socket({"127.0.0.2", port, ""}) == -1;
        const bool taken = manager.take_socket({"localhost", port, ""}) == socket;
        const bool once = manager.take_socket({"127.0.0.1", port, ""}) == -1;
        const bool rest = manager.sockets_left() == std::vector<std::string>{"something else"};
        ::_exit(socket == 3 && other && taken && once && rest && ::getenv("LISTEN_FDS") == nullptr ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(ServiceManager, SocketsOfAnotherProcessAreLeftAlone) {
  ::setenv("LISTEN_FDS", "1", 1);
  ::setenv("LISTEN_PID", "1", 1);
  const ServiceManager manager;
  EXPECT_TRUE(manager.sockets_left().empty());
}

}  // namespace
}  // namespace minerva::io
