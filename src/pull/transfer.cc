#include "pull/transfer.h"

#include <curl/curl.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <utility>

namespace minerva::pull {
namespace {

constexpr int kMostRedirects = 5;
constexpr std::size_t kMostHead = 64 << 10;       // bytes of an answer's header fields
constexpr std::size_t kMostPassedOver = 1 << 20;  // of the body of an answer that is no 2xx
constexpr std::chrono::seconds kTextLimit{120};
constexpr long kStalledRate = 100;  // bytes per second
constexpr long kConnectTimeoutMs = 15'000;
constexpr long kLeastBuffer = 1 << 10;  // bytes
constexpr long kBuffer = 512 << 10;
constexpr std::uint64_t kBuffersPerSecond = 256;  // at a limited rate

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

bool is_redirect(int status) {
  return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\r' || text.back() == '\n')) text.remove_suffix(1);
  return text;
}

// One answer while it comes in.
struct Incoming {
  CURL* curl;
  const Transfer::Sink* sink;
  const Stop* stop;
  bool may_be_private;
  Answer answer;
  std::size_t passed_over = 0;
  std::size_t head_bytes = 0;
  bool head_too_large = false;
  bool begun = false;
  bool ended = false;        // the sink wants nothing more
  bool met_private = false;  // the name of the host means an address in a private network
};

std::size_t on_field(char* data, std::size_t size, std::size_t count, void* self) {
  auto& in = *static_cast<Incoming*>(self);
  const std::string_view line(data, size * count);
  in.head_bytes += line.size();
  if (in.head_bytes > kMostHead) {
    in.head_too_large = true;
    return 0;
  }
  if (line.starts_with("HTTP/")) {
    in.answer.fields.clear();  // they belong to an interim answer
    return line.size();
  }
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return line.size();
  std::string name(line.substr(0, colon));
  std::transform(name.begin(), name.end(), name.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  in.answer.fields[name] = trimmed(line.substr(colon + 1));
  return line.size();
}

int status_of(CURL* curl) {
  long code = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
  return static_cast<int>(code);
}

// Shows the answer's head to the sink, once. false: the sink does not want the answer.
bool begin(Incoming& in) {
  if (in.begun) return true;
  in.begun = true;
  in.answer.status = status_of(in.curl);
  if (!in.answer.good() || in.sink == nullptr || in.sink->begin(in.answer)) return true;
  in.ended = true;
  return false;
}

std::size_t on_data(char* data, std::size_t size, std::size_t count, void* self) {
  auto& in = *static_cast<Incoming*>(self);
  const std::string_view piece(data, size * count);
  if (!begin(in)) return 0;
  if (in.answer.good() && in.sink != nullptr) {
    in.ended = !in.sink->take(piece);
  } else {
    in.passed_over += piece.size();
    in.ended = in.passed_over > kMostPassedOver;
  }
  return in.ended ? 0 : piece.size();
}

int on_progress(void* self, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  auto& in = *static_cast<Incoming*>(self);
  if (in.stop->is_set()) return 1;
  if (in.sink != nullptr && in.sink->meanwhile) in.ended = !in.sink->meanwhile();
  return in.ended ? 1 : 0;
}

// The rules judge names, but a name may mean another machine of this network: so the address of the connection is
// judged too.
curl_socket_t on_open(void* self, curlsocktype, curl_sockaddr* address) {
  auto& in = *static_cast<Incoming*>(self);
  if (!in.may_be_private && !is_public_address(address->addr)) {
    in.met_private = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

struct Transfer::Impl {
  struct CurlDeleter {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  };
  std::unique_ptr<CURL, CurlDeleter> curl{curl_easy_init()};
};

Transfer::Transfer(HostRules rules, TransferOptions options, const Stop& stop)
    : rules_(std::move(rules)), options_(std::move(options)), stop_(stop), impl_(std::make_unique<Impl>()) {}
Transfer::~Transfer() = default;

Result<Answer> Transfer::once(Method method, const Url& url, ByteRange range, const Sink* sink) {
  if (const auto allowed = rules_.check(url); !allowed) return fail(allowed.error());
  CURL* const curl = impl_->curl.get();
  if (curl == nullptr) return fail(ErrorCode::kInternal, "libcurl cannot be set up");
  curl_easy_reset(curl);  // keeps the connection
  Incoming in{.curl = curl,
              .sink = sink,
              .stop = &stop_,
              .may_be_private = rules_.may_be_private(url.host),
              .answer = {0, {}, url}};
  List headers;
  append(headers, "Accept-Encoding: identity");
  // Only the hub gets the token, and a redirect may lead to another origin.
  if (has_token() && url.same_origin(rules_.hub())) append(headers, "Authorization: Bearer " + options_.token);
  const std::string address = url.text();
  curl_easy_setopt(curl, CURLOPT_URL, address.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  if (!options_.authorities.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, options_.authorities.c_str());
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_PROXY, "");  // no proxy: the connection must go to the address that was judged
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_USERAGENT, options_.agent.c_str());
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  curl_easy_setopt(curl, CURLOPT_NOBODY, method == Method::kHead ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, kStalledRate);
  const std::chrono::seconds limit = sink == nullptr ? kTextLimit : sink->limit;
  curl_easy_setopt(curl, CURLOPT_TIMEOUT, static_cast<long>(limit.count()));
  curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, static_cast<long>(options_.stall_timeout.count()));
  curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, kBuffer);
  if (options_.max_rate > Bytes()) {
    // libcurl checks its limit only once for up to 100 buffers that have come: so 100 buffers must not hold several
    // seconds of the rate.
    const auto buffer =
        static_cast<long>(std::min<std::uint64_t>(options_.max_rate.count() / kBuffersPerSecond, kBuffer));
    curl_easy_setopt(curl, CURLOPT_BUFFERSIZE, std::max(buffer, kLeastBuffer));
    curl_easy_setopt(curl, CURLOPT_MAX_RECV_SPEED_LARGE, static_cast<curl_off_t>(options_.max_rate.count()));
  }
  const std::string bytes = fmt::format("{}-{}", range.first, range.last ? fmt::to_string(*range.last) : "");
  if (range.first > 0 || range.last) curl_easy_setopt(curl, CURLOPT_RANGE, bytes.c_str());
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &on_field);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &in);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_data);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &in);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &in);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, &on_open);
  curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, &in);

  const CURLcode code = curl_easy_perform(curl);
  in.answer.status = status_of(curl);
  const auto unreachable = [&](std::string_view why) {
    return fail(ErrorCode::kUnreachable,
                fmt::format("{}: {}. What was fetched is kept: pull it again to go on.", url.host, why));
  };
  if (in.met_private) {
    return fail(ErrorCode::kForbidden,
                fmt::format("{} is an address of a private network, where nothing is fetched from: name that host in "
                            "pull.hosts if it is your own.",
                            url.host));
  }
  if (in.head_too_large)
    return fail(ErrorCode::kIo, fmt::format("the answer of {} has too many header fields", url.host));
  switch (code) {
    case CURLE_OK:
      if (in.answer.good()) begin(in);  // also if there is no body
      return std::move(in.answer);
    case CURLE_WRITE_ERROR:
      if (in.ended) return std::move(in.answer);
      return unreachable("its answer cannot be taken");
    case CURLE_ABORTED_BY_CALLBACK:
      if (in.ended) return std::move(in.answer);
      return fail(ErrorCode::kCancelled, "cancelled");
    case CURLE_COULDNT_RESOLVE_HOST:
      return unreachable("its name is not known (is this machine connected?)");
    case CURLE_COULDNT_CONNECT:
      return unreachable("nothing answers there");
    case CURLE_OPERATION_TIMEDOUT:
      return unreachable(
          fmt::format("no bytes came for {} s (pull.stall_timeout), or too few", options_.stall_timeout.count()));
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
      return fail(ErrorCode::kForbidden,
                  fmt::format("The certificate of {} is not trusted ({}): nothing is fetched. "
                              "Check this machine's clock and authorities (SSL_CERT_FILE names a file of more).",
                              url.host, curl_easy_strerror(code)));
    default:
      return unreachable(curl_easy_strerror(code));
  }
}

Result<Answer> Transfer::along_redirects(Method method, Redirects which, const Url& url, ByteRange range,
                                         const Sink* sink) {
  Url at = url;
  for (int hop = 0; hop <= kMostRedirects; ++hop) {
    Result<Answer> answer = once(method, at, range, sink);
    if (!answer || !is_redirect(answer->status)) return answer;
    const auto location = answer->fields.find("location");
    if (location == answer->fields.end()) {
      return fail(ErrorCode::kIo, fmt::format("{} redirects to nowhere (status {})", at.host, answer->status));
    }
    Result<Url> next = pull::follow(at, location->second);
    if (!next) return fail(next.error());
    if (which == Redirects::kWithinOrigin && !next->same_origin(at)) return answer;
    // An HTTPS address must not lead to plain HTTP.
    if (at.scheme == "https" && next->scheme != "https") {
      return fail(ErrorCode::kForbidden,
                  fmt::format("{} redirects from HTTPS to plain HTTP, which is not followed", at.host));
    }
    at = *std::move(next);
  }
  return fail(ErrorCode::kIo, fmt::format("{} redirects more than {} times, which is not followed further. Check the "
                                          "name, or try again later.",
                                          url.host, kMostRedirects));
}

Result<Answer> Transfer::head(const Url& url, Redirects which) {
  return along_redirects(Method::kHead, which, url, {}, nullptr);
}

Result<std::pair<Answer, std::string>> Transfer::read(const Url& url, std::size_t most) {
  std::string body;
  bool too_large = false;
  const Sink sink{[](const Answer&) { return true; },
                  [&](std::string_view bytes) {
                    too_large = bytes.size() > most - body.size();
                    if (!too_large) body += bytes;
                    return !too_large;
                  },
                  {},
                  kTextLimit};
  Result<Answer> answer = along_redirects(Method::kGet, Redirects::kAll, url, {}, &sink);
  if (!answer) return fail(answer.error());
  if (too_large) return fail(ErrorCode::kIo, fmt::format("the answer of {} is larger than {} bytes", url.host, most));
  return std::pair(*std::move(answer), std::move(body));
}

Result<Answer> Transfer::get(const Url& url, ByteRange range, const Sink& sink) {
  return along_redirects(Method::kGet, Redirects::kAll, url, range, &sink);
}

}  // namespace minerva::pull
