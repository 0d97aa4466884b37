// ServiceManager: the service manager that started this process (systemd), if one did: what it is told, and the sockets
// that it hands over. These are the protocols of sd_notify(3) and sd_listen_fds(3); both are too small for a library.
//
// A manager that cannot be reached is a warning in the log, never an error: the service goes on.
//
// Threading: the loop's thread. Ownership: it owns the sockets until they are taken; it outlives the timer of
// keep_alive(). It does not start, stop or reload anything by itself.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "io/descriptor.h"
#include "io/loop.h"
#include "io/stream.h"
#include "minerva/base/clock.h"

namespace minerva::io {

class ServiceManager {
 public:
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_FDS, and removes them: they are meant for no child of this process.
  // Requires: there is no other thread yet.
  ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // The service takes requests now; it has begun to end.
  void ready() const;
  void stopping() const;
  // Tells, twice in each period of the watchdog, that the loop of `timer` runs. Does nothing where there is no
  // watchdog.
  void keep_alive(Timer& timer) const;

  // The socket that listens on `address`, or -1. The caller closes it.
  int take_socket(const Address& address);
  // What the sockets listen on that nobody took.
  std::vector<std::string> sockets_left() const;

 private:
  struct Socket {
    std::string address;
    Descriptor fd;
  };
  void tell(std::string_view message) const;
  void receive_sockets();

  std::string notify_path_;  // empty: nobody wants to know
  std::optional<Duration> watchdog_;
  std::vector<Socket> sockets_;
};

// A listener on a socket that somebody else has made, which listens on `address` already. A Unix socket's file stays.
std::unique_ptr<Listener> adopt_listener(Loop& loop, int socket, const Address& address,
                                         std::function<void(std::unique_ptr<Stream>)> accepted);

}  // namespace minerva::io
