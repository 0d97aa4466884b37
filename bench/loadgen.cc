// loadgen: a small HTTP/1.1 load generator for the benchmarks. One thread, epoll, keep-alive connections.
//
// usage: loadgen HOST:PORT PATH BODY CONNECTIONS SECONDS MAX_REQUESTS
// Sends POST requests, one after another on each connection, until SECONDS have passed or MAX_REQUESTS have begun (0:
// no such limit). It then waits for the requests under way. Prints one JSON object: requests and server-sent events per
// second, quantiles of the latency, time to the first byte of a body. It ends with exit code 1 at an answer other than
// 200.
// What it does not do: TLS, HTTP/2, pipelining, name look-ups.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(std::string_view what) {
  std::fprintf(stderr, "loadgen: %.*s\n", static_cast<int>(what.size()), what.data());
  std::exit(1);
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

struct Totals {
  std::vector<double> latencies_s;
  std::vector<double> first_bytes_s;
  std::size_t events = 0;
};

// Parses one answer while its bytes come.
class Answer {
 public:
  // Takes bytes from the front of `data`. Returns whether the answer is complete.
  bool feed(std::string_view data, Totals& totals, Clock::time_point sent) {
    pending_ += data;
    if (!head_read_ && !read_head()) return false;
    if (!body_begun_ && !pending_.empty()) {
      body_begun_ = true;
      totals.first_bytes_s.push_back(seconds_since(sent));
    }
    return chunked_ ? read_chunks(totals) : read_plain(totals);
  }
  bool begun() const { return head_read_ || !pending_.empty(); }
  bool closes() const { return closes_; }

 private:
  bool read_head() {
    const std::size_t end = pending_.find("\r\n\r\n");
    if (end == std::string::npos) return false;
    std::string head = pending_.substr(0, end + 2);
    if (head.compare(0, 12, "HTTP/1.1 200") != 0) die("answered: " + pending_.substr(0, 600));
    std::transform(head.begin(), head.end(), head.begin(), [](unsigned char c) { return std::tolower(c); });
    chunked_ = head.find("\r\ntransfer-encoding: chunked") != std::string::npos;
    closes_ = head.find("\r\nconnection: close") != std::string::npos;
    constexpr std::string_view kLength = "\r\ncontent-length: ";
    if (const std::size_t at = head.find(kLength); at != std::string::npos) {
      left_ = std::strtoull(head.c_str() + at + kLength.size(), nullptr, 10);
    } else if (!chunked_) {
      die("an answer without a length");
    }
    pending_.erase(0, end + 4);
    head_read_ = true;
    return true;
  }

  bool read_plain(Totals& totals) {
    const std::size_t taken = std::min(left_, pending_.size());
    count_events(std::string_view(pending_).substr(0, taken), totals);
    left_ -= taken;
    pending_.clear();
    return left_ == 0;
  }

  bool read_chunks(Totals& totals) {
    std::size_t at = 0;
    bool complete = false;
    while (!complete) {
      const std::size_t line_end = pending_.find("\r\n", at);
      if (line_end == std::string::npos) break;
      std::size_t size = 0;
      const auto parsed = std::from_chars(pending_.data() + at, pending_.data() + line_end, size, 16);
      if (parsed.ec != std::errc()) die("a broken chunk");
      if (pending_.size() < line_end + 2 + size + 2) break;
      count_events(std::string_view(pending_).substr(line_end + 2, size), totals);
      at = line_end + 2 + size + 2;
      complete = size == 0;
    }
    pending_.erase(0, at);
    return complete;
  }

  void count_events(std::string_view body, Totals& totals) {
    for (const char c : body) {
      if (c == '\n' && last_ == '\n') ++totals.events;
      last_ = c;
    }
  }

  std::string pending_;
  std::size_t left_ = 0;
  bool head_read_ = false;
  bool body_begun_ = false;
  bool chunked_ = false;
  bool closes_ = false;
  char last_ = 0;
};

struct Connection {
  int fd = -1;
  Answer answer;
  Clock::time_point sent;
  bool fresh = true;
  bool idle = true;
};

class LoadGenerator {
 public:
  LoadGenerator(const sockaddr_in& address, std::string request, std::size_t connections)
      : address_(address), request_(std::move(request)), connections_(connections), epoll_(::epoll_create1(0)) {}

  void run(double seconds, std::size_t max_requests) {
    const Clock::time_point start = Clock::now();
    const auto may_begin = [&] {
      return seconds_since(start) < seconds && (max_requests == 0 || begun_ < max_requests);
    };
    for (Connection& connection : connections_) {
      if (may_begin()) begin(connection);
    }
    while (busy_ > 0) {
      std::array<epoll_event, 64> events{};
      const int count = ::epoll_wait(epoll_, events.data(), events.size(), 60'000);
      if (count == 0) die("no answer for a minute");
      for (int i = 0; i < count; ++i) {
        Connection& connection = *static_cast<Connection*>(events[static_cast<std::size_t>(i)].data.ptr);
        if (read(connection) && may_begin()) begin(connection);
      }
    }
    print(seconds_since(start));
  }

 private:
  void open(Connection& connection) {
    if (connection.fd >= 0) ::close(connection.fd);
    connection.fd = ::socket(AF_INET, SOCK_STREAM, 0);
    if (::connect(connection.fd, reinterpret_cast<const sockaddr*>(&address_), sizeof(address_)) != 0) {
      die(std::string("cannot connect: ") + std::strerror(errno));
    }
    const int on = 1;
    ::setsockopt(connection.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.ptr = &connection;
    ::epoll_ctl(epoll_, EPOLL_CTL_ADD, connection.fd, &event);
    connection.fresh = true;
  }

  void begin(Connection& connection) {
    connection.sent = Clock::now();
    send(connection);
    connection.idle = false;
    ++busy_;
    ++begun_;
  }

  void send(Connection& connection) {
    connection.answer = {};
    if (connection.fd < 0) open(connection);
    for (std::size_t at = 0; at < request_.size();) {
      const ssize_t sent = ::send(connection.fd, request_.data() + at, request_.size() - at, MSG_NOSIGNAL);
      if (sent > 0) {
        at += static_cast<std::size_t>(sent);
      } else if (!connection.fresh) {
        open(connection);  // the server may close an idle connection
        at = 0;
      } else {
        die("the connection broke");
      }
    }
  }

  // Returns whether an answer became complete.
  bool read(Connection& connection) {
    std::array<char, 65536> buffer{};
    const ssize_t size = ::recv(connection.fd, buffer.data(), buffer.size(), 0);
    if (connection.idle || size <= 0) {
      ::close(connection.fd);
      connection.fd = -1;
      if (connection.idle) return false;
      if (connection.answer.begun() || connection.fresh) die("an answer was cut off");
      send(connection);  // the server may close a connection between two requests
      return false;
    }
    const std::string_view data(buffer.data(), static_cast<std::size_t>(size));
    if (!connection.answer.feed(data, totals_, connection.sent)) return false;
    totals_.latencies_s.push_back(seconds_since(connection.sent));
    connection.fresh = false;
    connection.idle = true;
    --busy_;
    if (connection.answer.closes()) {
      ::close(connection.fd);
      connection.fd = -1;
    }
    return true;
  }

  static double quantile_ms(std::vector<double>& values, double q) {
    if (values.empty()) return 0;
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(q * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), nth, values.end());
    return 1000 * *nth;
  }

  void print(double seconds) {
    const auto requests = static_cast<double>(totals_.latencies_s.size());
    std::printf(
        "{\"requests_per_s\":%.1f,\"events_per_s\":%.1f,\"p50_ms\":%.4f,\"p99_ms\":%.4f,\"first_byte_ms\":%.3f}\n",
        requests / seconds, static_cast<double>(totals_.events) / seconds, quantile_ms(totals_.latencies_s, 0.5),
        quantile_ms(totals_.latencies_s, 0.99), quantile_ms(totals_.first_bytes_s, 0.5));
  }

  sockaddr_in address_;
  std::string request_;
  std::vector<Connection> connections_;
  int epoll_;
  std::size_t busy_ = 0;
  std::size_t begun_ = 0;
  Totals totals_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) die("usage: loadgen HOST:PORT PATH BODY CONNECTIONS SECONDS MAX_REQUESTS");
  const std::string authority = argv[1];
  const std::string body = argv[3];
  const std::size_t colon = authority.rfind(':');
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (colon == std::string::npos || ::inet_pton(AF_INET, authority.substr(0, colon).c_str(), &address.sin_addr) != 1) {
    die("the address must be an IPv4 address and a port");
  }
  address.sin_port = htons(static_cast<std::uint16_t>(std::atoi(authority.c_str() + colon + 1)));
  const std::string request = std::string("POST ") + argv[2] + " HTTP/1.1\r\nHost: " + authority +
                              "\r\nContent-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) +
                              "\r\n\r\n" + body;
  LoadGenerator generator(address, request, std::strtoull(argv[4], nullptr, 10));
  generator.run(std::strtod(argv[5], nullptr), std::strtoull(argv[6], nullptr, 10));
  return 0;
}
