#include "io/service_manager.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/log.h"
#include "io/descriptor.h"

namespace minerva::io {
namespace {

constexpr int kFirstSocket = 3;  // SD_LISTEN_FDS_START
constexpr int kMaxSockets = 64;

// Takes the variable out of the environment. Returns its value; empty if there was none.
std::string take_variable(const char* name) {
  const char* const value = std::getenv(name);
  std::string text = value == nullptr ? "" : value;
  ::unsetenv(name);
  return text;
}

// A whole positive number, or nothing.
std::optional<long long> number_in(const std::string& text) {
  long long number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0) return std::nullopt;
  return number;
}

// The address that a socket listens on, as Address::text() writes it; empty if it is no listening socket of a known
// kind.
std::string address_of(int fd) {
  int listens = 0;
  socklen_t size = sizeof listens;
  if (::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0) return "";
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
    sockaddr_un local;
  } name{};
  socklen_t length = sizeof name;
  if (::getsockname(fd, &name.any, &length) != 0) return "";
  std::array<char, INET6_ADDRSTRLEN> text{};
  switch (name.any.sa_family) {
    case AF_INET:
      ::inet_ntop(AF_INET, &name.v4.sin_addr, text.data(), text.size());
      return Address{text.data(), ntohs(name.v4.sin_port), ""}.text();
    case AF_INET6:
      ::inet_ntop(AF_INET6, &name.v6.sin6_addr, text.data(), text.size());
      return Address{text.data(), ntohs(name.v6.sin6_port), ""}.text();
    case AF_UNIX:
      return name.local.sun_path[0] == 0 ? "" : Address{"", 0, name.local.sun_path}.text();
    default:
      return "";
  }
}

}  // namespace

ServiceManager::ServiceManager() : notify_path_(take_variable("NOTIFY_SOCKET")) {
  const std::string watched = take_variable("WATCHDOG_PID");
  const auto period = number_in(take_variable("WATCHDOG_USEC"));
  if (period && (watched.empty() || number_in(watched) == ::getpid())) watchdog_ = std::chrono::microseconds(*period);
  receive_sockets();
}

void ServiceManager::receive_sockets() {
  const auto process = number_in(take_variable("LISTEN_PID"));
  const auto count = number_in(take_variable("LISTEN_FDS"));
  ::unsetenv("LISTEN_FDNAMES");
  if (!count || process != ::getpid()) return;
  for (int fd = kFirstSocket; fd < kFirstSocket + std::min<long long>(*count, kMaxSockets); ++fd) {
    const int flags = ::fcntl(fd, F_GETFL);
    if (flags < 0) continue;
    ::fcntl(fd, F_SETFD, FD_CLOEXEC);
    ::fcntl(fd, F_SETFL, flags | O_NONBLOCK);
    const std::string address = address_of(fd);
    sockets_.push_back({address.empty() ? "something else" : address, Descriptor(fd)});
  }
}

void ServiceManager::tell(std::string_view message) const {
  if (notify_path_.empty()) return;
  sockaddr_un target{};
  target.sun_family = AF_UNIX;
  if (notify_path_.size() >= sizeof target.sun_path) {
    log::warn("the service manager is not told {}: NOTIFY_SOCKET is too long for a socket's name", message);
    return;
  }
  std::memcpy(target.sun_path, notify_path_.data(), notify_path_.size());
  if (target.sun_path[0] == '@') target.sun_path[0] = 0;  // an abstract name: no file
  const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + notify_path_.size());
  const Descriptor socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  const bool sent = socket && ::sendto(*socket, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT,
                                       reinterpret_cast<const sockaddr*>(&target), length) >= 0;
  if (!sent) log::warn("the service manager is not told {}: {}", message, std::strerror(errno));
}

void ServiceManager::ready() const { tell("READY=1"); }
void ServiceManager::stopping() const { tell("STOPPING=1"); }

void ServiceManager::keep_alive(Timer& timer) const {
  if (!watchdog_) return;
  tell("WATCHDOG=1");
  timer.arm(Clock::now() + *watchdog_ / 2, [this, &timer] { keep_alive(timer); });
}

int ServiceManager::take_socket(const Address& address) {
  Address wanted = address;
  if (wanted.host == "localhost") wanted.host = "127.0.0.1";
  const auto found = std::find_if(sockets_.begin(), sockets_.end(),
                                  [&](const auto& socket) { return socket.address == wanted.text(); });
  if (found == sockets_.end()) return -1;
  const int fd = found->fd.release();
  sockets_.erase(found);
  return fd;
}

std::vector<std::string> ServiceManager::sockets_left() const {
  std::vector<std::string> result;
  for (const Socket& socket : sockets_) result.push_back(socket.address);
  return result;
}

}  // namespace minerva::io
