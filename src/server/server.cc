#include "server/server.h"

#include <fmt/format.h>

#include <random>

#include "base/log.h"
#include "io/service_manager.h"
#include "server/routes.h"

namespace minerva {
namespace {

std::string make_request_id() {
  // Unique enough to find a request in two logs; it is no secret.
  static std::mt19937_64 random{std::random_device{}()};
  return fmt::format("req_{:016x}", random());
}

}  // namespace

Server::Server(Service& service, std::shared_ptr<io::TlsContext> tls)
    : service_(service),
      tls_(std::move(tls)),
      peers_(service.config.max_connections_per_peer > 0 ? service.config.max_connections_per_peer
                                                         : (service.config.max_connections + 1) / 2,
             /*counts_loopback=*/service.config.max_connections_per_peer > 0) {}

Result<io::Address> Server::listen(const io::Address& address, int socket) {
  const auto accepted = [this](std::unique_ptr<io::Stream> stream) {
    // Over the limit a connection is closed without an answer: an answer would take just what is short.
    if (service_.connections >= service_.config.max_connections || !peers_.enter(stream->peer_name())) {
      ++service_.refused_connections;
      return;
    }
    service_.loop.spawn(serve_connection(std::move(stream)));
  };
  if (socket >= 0) {
    listeners_.push_back(io::adopt_listener(service_.loop, socket, address, accepted));
    return address;
  }
  auto listener = io::Listener::open(service_.loop, address, accepted);
  if (!listener) return Failure(listener.error());
  io::Address bound = (*listener)->address();
  listeners_.push_back(std::move(*listener));
  return bound;
}

void Server::stop_accepting() {
  listeners_.clear();
  drain();
}

void Server::drain() {
  for (const Client& client : clients_) {
    if (!client.busy) client.connection->close();
  }
}

void Server::close_all() {
  listeners_.clear();
  for (const Client& client : clients_) client.connection->abort();
}

void Server::when_all_closed(std::function<void()> fn) {
  all_closed_ = std::move(fn);
  if (clients_.empty()) service_.loop.post(std::exchange(all_closed_, nullptr));
}

io::Task<void> Server::serve_connection(std::unique_ptr<io::Stream> stream) {
  ++service_.connections;
  const std::string peer = stream->peer_name();
  if (tls_) {
    const TimePoint deadline = Clock::now() + service_.config.http.head_timeout;
    stream = io::accept_tls(service_.loop, std::move(stream), tls_, deadline);
  }
  io::HttpServerConnection connection(std::move(stream), service_.config.http);
  const auto client = clients_.insert(clients_.end(), {&connection, false});
  while (true) {
    Result<std::optional<io::RequestHead>> request = co_await connection.read_request();
    client->busy = true;
    if (!request) {
      Exchange exchange{connection, {}, {}, {}, {}, make_request_id(), Clock::now(), queued_bytes()};
      co_await exchange.error(request.error());
      co_await connection.linger();
      break;
    }
    if (!*request) break;
    co_await answer(connection, std::move(**request));
    if (!connection.reusable() || service_.draining) {
      co_await connection.linger();
      break;
    }
    client->busy = false;
  }
  connection.close();
  clients_.erase(client);
  --service_.connections;
  peers_.leave(peer);
  if (clients_.empty() && all_closed_) service_.loop.post(std::exchange(all_closed_, nullptr));
}

QueuedBytes Server::queued_bytes() { return {service_.queued_bytes, service_.config.max_queued_bytes}; }

io::Task<void> Server::answer(io::HttpServerConnection& connection, io::RequestHead request) {
  const api::Target target = api::split_target(request.target);
  std::string path(target.path);
  std::string raw_query(target.query);
  Exchange exchange{connection, std::move(request), std::move(path), std::move(raw_query),
                    {},         make_request_id(),  Clock::now(),    queued_bytes()};
  co_await dispatch(service_, exchange);
  ++service_.answers[exchange.status];
  if (log::enabled(log::Level::kDebug)) {
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - exchange.arrived);
    const log::Fields fields = {{"request", exchange.request_id},
                                {"method", exchange.request.method},
                                {"path", exchange.path},
                                {"status", fmt::to_string(exchange.status)},
                                {"took_ms", fmt::to_string(took.count())},
                                {"model", exchange.model}};
    log::debug(fields, "{} {} {} -> {} in {} ms {}", exchange.request_id, exchange.request.method, exchange.path,
               exchange.status, took.count(), exchange.model);
  }
}

}  // namespace minerva
