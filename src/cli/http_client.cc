#include "cli/http_client.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <memory>

#include "cli/answers.h"

namespace minerva::cli {
namespace {

constexpr std::size_t kMaxAnswer = 64 << 20;     // bytes of an answer that is kept as a whole
constexpr std::size_t kMaxErrorBody = 64 << 10;  // bytes of an error's body that are read
constexpr long kConnectTimeoutMs = 5000;

struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using List = std::unique_ptr<curl_slist, ListDeleter>;

void append(List& list, const std::string& line) {
  // If memory runs out, the list and its owner stay unchanged.
  if (curl_slist* longer = curl_slist_append(list.get(), line.c_str()); longer != nullptr) {
    static_cast<void>(list.release());
    list.reset(longer);
  }
}

bool has_control_character(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

// One answer while it comes in.
struct Transfer {
  CURL* curl = nullptr;
  const HttpClient::OnPiece* on_piece = nullptr;
  const std::atomic<bool>* cancelled = nullptr;
  std::string error_body;  // of an answer that is no 2xx
  bool ended = false;      // on_piece wants nothing more

  long status() const {
    long code = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    return code;
  }
};

std::size_t on_data(char* data, std::size_t size, std::size_t count, void* self) {
  auto& transfer = *static_cast<Transfer*>(self);
  const std::string_view piece(data, size * count);
  if (const long status = transfer.status(); status < 200 || status > 299) {
    transfer.error_body += piece.substr(0, kMaxErrorBody - transfer.error_body.size());
    return piece.size();
  }
  char* type = nullptr;
  curl_easy_getinfo(transfer.curl, CURLINFO_CONTENT_TYPE, &type);
  if ((*transfer.on_piece)(type == nullptr ? "" : type, piece)) return piece.size();
  transfer.ended = true;
  return 0;
}

// The host in an address, an IPv6 address without its brackets; empty if there is none.
std::string host_of(const std::string& base) {
  const std::unique_ptr<CURLU, decltype(&curl_url_cleanup)> url(curl_url(), &curl_url_cleanup);
  char* part = nullptr;
  if (curl_url_set(url.get(), CURLUPART_URL, base.c_str(), 0) != CURLUE_OK ||
      curl_url_get(url.get(), CURLUPART_HOST, &part, 0) != CURLUE_OK) {
    return {};
  }
  std::string host(part);
  curl_free(part);
  if (host.starts_with('[')) host = host.substr(1, host.size() - 2);
  return host;
}

// "192.0.2.1"; empty if it is no IP address.
std::string numeric(const sockaddr* address) {
  if (address == nullptr || (address->sa_family != AF_INET && address->sa_family != AF_INET6)) return {};
  const socklen_t size = address->sa_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  char text[NI_MAXHOST] = {};
  return ::getnameinfo(address, size, text, sizeof text, nullptr, 0, NI_NUMERICHOST) == 0 ? text : "";
}

bool is_own(const std::string& address, const ifaddrs* interfaces) {
  if (address.starts_with("127.")) return true;  // an interface lists only one of these
  for (; interfaces != nullptr; interfaces = interfaces->ifa_next) {
    if (!address.empty() && numeric(interfaces->ifa_addr) == address) return true;
  }
  return false;
}

int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto& transfer = *static_cast<Transfer*>(self);
  return transfer.cancelled != nullptr && transfer.cancelled->load() ? 1 : 0;
}

// How a call ended. `server`: its address, as the user wrote it.
Result<void> outcome(CURLcode code, const Transfer& transfer, const std::string& server) {
  const long status = transfer.status();
  switch (code) {
    case CURLE_OK:
      break;
    case CURLE_WRITE_ERROR:
      if (transfer.ended) return {};
      return fail(ErrorCode::kIo, "the server's answer cannot be taken");
    case CURLE_ABORTED_BY_CALLBACK:
      return fail(ErrorCode::kCancelled, "cancelled");
    case CURLE_COULDNT_CONNECT:
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
    case CURLE_OPERATION_TIMEDOUT:  // only the connection has a time limit
      return fail(ErrorCode::kUnreachable, fmt::format("nothing answers at {}; start it with `minerva serve`", server));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return fail(ErrorCode::kUnreachable,
                  fmt::format("{} is not trusted ({}); name the authority of its certificate with --cacert", server,
                              curl_easy_strerror(code)));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is not the address of a server", server), "url");
    default:
      if (status >= 300) break;  // the text of the error may be cut, but its status is known
      return fail(ErrorCode::kIo, fmt::format("the connection to {} broke before the answer was complete ({})", server,
                                              curl_easy_strerror(code)));
  }
  if (status >= 200 && status <= 299) return {};
  return fail(server_error(static_cast<int>(status), transfer.error_body));
}

}  // namespace

struct HttpClient::Impl {
  struct CurlDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  };
  std::unique_ptr<CURL, CurlDeleter> curl;
  std::string url;  // as the user wrote it
  ServerAddress address;
  std::string api_key;
  TlsTrust trust;
};

Result<ServerAddress> parse_server_url(const std::string& url) {
  ServerAddress address;
  if (url.starts_with("unix:")) {
    address.base = "http://localhost";
    address.unix_socket = url.substr(5);
    if (address.unix_socket.starts_with("//")) address.unix_socket.erase(0, 2);
    if (!address.unix_socket.empty() && !has_control_character(url)) return address;
    address.base.clear();
  } else if (url.starts_with("http://") || url.starts_with("https://")) {
    address.base = url;
  } else if (url.find("://") == std::string::npos && !url.starts_with("unix:")) {
    address.base = "http://" + url;
  }
  const auto drop_slashes = [&address] {
    while (address.base.ends_with('/')) address.base.pop_back();
  };
  drop_slashes();
  // As OpenAI's clients call the server.
  if (address.base.ends_with("/v1")) {
    address.base.erase(address.base.size() - 3);
    drop_slashes();
  }
  if (address.base.find("://") == std::string::npos || has_control_character(url) ||
      url.find_first_of(" ?#") != std::string::npos) {
    return fail(
        ErrorCode::kInvalidArgument,
        fmt::format("\"{}\" is not the address of a server; write it like http://127.0.0.1:3000 or unix:/path", url),
        "url");
  }
  return address;
}

bool ServerAddress::is_local() const {
  constexpr std::string_view kLocal[] = {"://localhost", "://127.", "://[::1]"};
  return !unix_socket.empty() || std::any_of(std::begin(kLocal), std::end(kLocal), [&](std::string_view host) {
    return base.find(host) != std::string::npos;
  });
}

bool ServerAddress::leads_here() const {
  if (is_local()) return true;
  const std::string host = host_of(base);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (host.empty() || ::getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> addresses(found, &::freeaddrinfo);
  ifaddrs* listed = nullptr;
  if (::getifaddrs(&listed) != 0) return false;
  const std::unique_ptr<ifaddrs, decltype(&::freeifaddrs)> own(listed, &::freeifaddrs);
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    if (!is_own(numeric(address->ai_addr), listed)) return false;
  }
  return true;
}

HttpClient::HttpClient(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HttpClient::~HttpClient() = default;
HttpClient::HttpClient(HttpClient&&) noexcept = default;
HttpClient& HttpClient::operator=(HttpClient&&) noexcept = default;

Result<HttpClient> HttpClient::connect(const std::string& url, const std::string& api_key, TlsTrust trust) {
  Result<ServerAddress> address = parse_server_url(url);
  if (!address) return fail(address.error());
  if (has_control_character(api_key)) {
    return fail(ErrorCode::kInvalidArgument, "the API key holds a control character", "api-key");
  }
  auto impl = std::make_unique<Impl>();
  impl->curl.reset(curl_easy_init());
  if (!impl->curl) return fail(ErrorCode::kInternal, "libcurl cannot be set up");
  impl->url = url;
  impl->address = *std::move(address);
  impl->api_key = api_key;
  impl->trust = std::move(trust);
  return HttpClient(std::move(impl));
}

Result<std::string> HttpClient::call(const HttpCall& call) {
  std::string body;
  bool too_large = false;
  const Result<void> done = stream(call, [&](std::string_view, std::string_view piece) {
    too_large = piece.size() > kMaxAnswer - body.size();
    if (!too_large) body += piece;
    return !too_large;
  });
  if (!done) return fail(done.error());
  if (too_large) return fail(ErrorCode::kIo, "the server's answer is too large");
  return body;
}

Result<void> HttpClient::stream(const HttpCall& call, const OnPiece& on_piece, const std::atomic<bool>* cancelled) {
  CURL* curl = impl_->curl.get();
  curl_easy_reset(curl);  // keeps the connection
  Transfer transfer{curl, &on_piece, cancelled, {}, false};
  List headers;
  append(headers, "Expect:");  // no round trip before a large body
  if (!impl_->api_key.empty()) append(headers, "Authorization: Bearer " + impl_->api_key);
  if (!call.accept.empty()) append(headers, "Accept: " + call.accept);
  if (call.method == "POST") append(headers, "Content-Type: application/json");

  const std::string url = impl_->address.base + call.path;
  curl_easy_setopt(curl, CURLOPT_URL, url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  if (!impl_->address.unix_socket.empty()) {
    curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, impl_->address.unix_socket.c_str());
  }
  if (!impl_->trust.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, impl_->trust.ca_file.c_str());
  if (impl_->trust.insecure) {
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
  }
  // A proxy of the environment must not stand between this program and its own machine.
  if (impl_->address.is_local()) curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
  curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, call.method.c_str());
  if (call.method == "POST") {
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, call.body.c_str());
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(call.body.size()));
  }
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);

  const CURLcode code = curl_easy_perform(curl);
  // The connection may have broken just then, before curl asked whether to go on.
  if (code != CURLE_OK && !transfer.ended && on_progress(&transfer, 0, 0, 0, 0) != 0) {
    return fail(ErrorCode::kCancelled, "cancelled");
  }
  return outcome(code, transfer, impl_->url);
}

}  // namespace minerva::cli
