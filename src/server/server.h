// Server: accepts connections and answers their requests. serve(): the whole program behind `minerva serve`.
//
// Threading: the loop's thread. Ownership: a Server outlives its connections: destroy it once when_all_closed() has
// called back.
#pragma once

#include <functional>
#include <list>
#include <memory>

#include "config/config.h"
#include "io/http.h"
#include "io/stream.h"
#include "io/tls.h"
#include "server/peer_limit.h"
#include "server/queued_bytes.h"
#include "server/service.h"

namespace minerva {

class Server {
 public:
  // `tls`: nullptr for plain HTTP.
  Server(Service& service, std::shared_ptr<io::TlsContext> tls);

  // `socket`: a socket that listens on `address` already (the Server closes it), or -1. Errors: kIo.
  Result<io::Address> listen(const io::Address& address, int socket = -1);
  // Closes the connections without a request now, and the others after their answer. A new connection still gets an
  // answer: that the server drains.
  void drain();
  // Takes no new connections, and closes those that have no request.
  void stop_accepting();
  // Ends every connection now.
  void close_all();
  // Calls `fn` once no connection is left.
  void when_all_closed(std::function<void()> fn);

 private:
  struct Client {
    io::HttpServerConnection* connection;
    bool busy;
  };
  io::Task<void> serve_connection(std::unique_ptr<io::Stream> stream);
  io::Task<void> answer(io::HttpServerConnection& connection, io::RequestHead request);
  // A counter for the body of one request.
  QueuedBytes queued_bytes();

  Service& service_;
  std::shared_ptr<io::TlsContext> tls_;  // shared with its streams
  PeerLimit peers_;
  std::vector<std::unique_ptr<io::Listener>> listeners_;
  std::list<Client> clients_;
  std::function<void()> all_closed_;
};

// Runs the server until SIGTERM or SIGINT has drained it; a second signal ends it at once. Reads `source` again on
// SIGHUP and when its file changes (reload.h). Returns the exit code: 0 after a drain, 1 if it could not start (the
// reason is on stderr).
int serve(const ConfigSource& source, const Config& config);

}  // namespace minerva
