// HTTP to a Minerva server, over TCP or a Unix socket. libcurl does the work; this header hides libcurl.
//
// Threading: one thread; calls block. A connection is kept between calls.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "minerva/base/result.h"

namespace minerva::cli {

struct HttpCall {
  std::string method = "GET";
  std::string path;    // with query, escaped
  std::string body;    // JSON, sent when the method is POST
  std::string accept;  // a media type; empty: any
};

// Which servers are trusted at an https:// address.
struct TlsTrust {
  std::string ca_file;    // PEM; empty: the system's authorities
  bool insecure = false;  // any server
};

class HttpClient {
 public:
  // "http://host:port", "https://host:port", "host:port" or "unix:/path". Errors: kInvalidArgument.
  static Result<HttpClient> connect(const std::string& url, const std::string& api_key, TlsTrust trust = {});
  ~HttpClient();
  HttpClient(HttpClient&&) noexcept;
  HttpClient& operator=(HttpClient&&) noexcept;

  // Sends a request. Returns the body of a 2xx answer. Errors: kUnreachable, kIo (the answer broke off or is too
  // large), or the server's own.
  Result<std::string> call(const HttpCall& call);

  // The same, but hands out the body piece by piece. If `on_piece` returns false, the call ends without an error.
  // Errors: as call(); kCancelled when `cancelled` became true.
  using OnPiece = std::function<bool(std::string_view content_type, std::string_view piece)>;
  Result<void> stream(const HttpCall& call, const OnPiece& on_piece, const std::atomic<bool>* cancelled = nullptr);

 private:
  struct Impl;
  explicit HttpClient(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// A server's address for curl: "http://host:port" stays, "host:port" gets its scheme, "unix:/path" becomes
// "http://localhost" and the path.
struct ServerAddress {
  std::string base;         // without a slash at its end
  std::string unix_socket;  // empty: TCP
  bool is_local() const;
  // Whether the address leads to this machine, also by a name. Asks the resolver, which may take seconds.
  bool leads_here() const;
};
Result<ServerAddress> parse_server_url(const std::string& url);

}  // namespace minerva::cli
