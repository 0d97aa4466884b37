// ServiceManager: talks to the service manager (systemd) that started this process, if one did. It tells the manager
// how the service is, and takes the sockets that the manager hands over. The protocols are those of sd_notify(3) and
// sd_listen_fds(3); both are too small for a library.
//
// If the manager cannot be reached, that is a warning in the log and never an error: the service goes on.
//
// Threading: the loop's thread. Ownership: it owns the sockets until they are taken, and outlives the timer of
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
  // Reads NOTIFY_SOCKET, WATCHDOG_USEC and LISTEN_FDS and removes them, since they are meant for no child of this
  // process. Requires: there is no other thread yet.
  ServiceManager();
  ServiceManager(const ServiceManager&) = delete;
  ServiceManager& operator=(const ServiceManager&) = delete;

  // ready(): the service takes requests now. stopping(): it has begun to end.
  void ready() const;
  void stopping() const;
  // Tells the manager twice in each period of its watchdog that the loop of `timer` runs. Does nothing if there is no
  // watchdog.
  void keep_alive(Timer& timer) const;

  // The socket that listens on `address`, or -1. The caller closes it.
  int take_socket(const Address& address);
  // The addresses of the sockets that nobody took.
  std::vector<std::string> sockets_left() const;

 private:
  struct Socket {
    std::string address;
    Descriptor fd;
  };
  void tell(std::string_view message) const;
  void receive_sockets();

  std::string notify_path_;  // empty: there is no manager to tell
  std::optional<Duration> watchdog_;
  std::vector<Socket> sockets_;
};

// Makes a listener of a socket that another program made and that listens on `address` already. The file of a Unix
// socket stays.
std::unique_ptr<Listener> adopt_listener(Loop& loop, int socket, const Address& address,
                                         std::function<void(std::unique_ptr<Stream>)> accepted);

}  // namespace minerva::io
