#include "pull/address.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <fmt/format.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>

namespace minerva::pull {
namespace {

constexpr std::size_t kLongest = 8192;  // bytes of an address: signed ones are long

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};
using Handle = std::unique_ptr<CURLU, UrlDeleter>;

struct TextDeleter {
  void operator()(char* text) const { curl_free(text); }
};

std::string part_of(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return {};
  const std::unique_ptr<char, TextDeleter> owner(text);
  return text;
}

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return text;
}

Result<Url> read(CURLU* handle, std::string_view text) {
  Url url;
  url.scheme = part_of(handle, CURLUPART_SCHEME);
  url.host = lower(part_of(handle, CURLUPART_HOST));
  if (url.host.starts_with('[') && url.host.ends_with(']')) url.host = url.host.substr(1, url.host.size() - 2);
  while (url.host.ends_with('.')) url.host.pop_back();
  url.port = part_of(handle, CURLUPART_PORT, CURLU_DEFAULT_PORT);
  url.path = part_of(handle, CURLUPART_PATH);
  if (const std::string query = part_of(handle, CURLUPART_QUERY); !query.empty()) url.path += "?" + query;
  const bool web = url.scheme == "https" || url.scheme == "http";
  if (web && !url.host.empty() && !url.port.empty() && part_of(handle, CURLUPART_USER).empty()) return url;
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\" is no address such as https://host/model.gguf, without a user's name in it",
                          text.substr(0, 200)),
              "model");
}

bool is_plain(std::string_view text) {
  return !text.empty() && text.size() <= kLongest &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 0x7f; });
}

Failure not_plain() {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("an address has 1 to {} printable ASCII characters and no spaces", kLongest), "model");
}

bool matches(std::string_view pattern, std::string_view host) {
  if (pattern == "*") return true;
  if (!pattern.starts_with("*.")) return pattern == host;
  return host.size() > pattern.size() - 1 && host.ends_with(pattern.substr(1));
}

// Source: the registries of special-purpose addresses of RFC 6890, as far as they matter to a connection.
bool is_public_v4(std::uint32_t address) {
  struct Range {
    std::uint32_t first;
    unsigned bits;
  };
  constexpr std::array<Range, 15> kOthers = {{{0x00000000, 8},
                                              {0x0a000000, 8},
                                              {0x64400000, 10},
                                              {0x7f000000, 8},
                                              {0xa9fe0000, 16},
                                              {0xac100000, 12},
                                              {0xc0000000, 24},
                                              {0xc0000200, 24},
                                              {0xc0586300, 24},
                                              {0xc0a80000, 16},
                                              {0xc6120000, 15},
                                              {0xc6336400, 24},
                                              {0xcb007100, 24},
                                              {0xe0000000, 4},
                                              {0xf0000000, 4}}};
  return std::none_of(kOthers.begin(), kOthers.end(),
                      [address](const Range& range) { return (address ^ range.first) >> (32 - range.bits) == 0; });
}

bool is_public_v6(const std::array<unsigned char, 16>& bytes) {
  const auto v4_at = [&bytes](std::size_t at) {
    return std::uint32_t{bytes[at]} << 24 | std::uint32_t{bytes[at + 1]} << 16 | std::uint32_t{bytes[at + 2]} << 8 |
           bytes[at + 3];
  };
  const auto begins = [&bytes](std::initializer_list<unsigned char> prefix) {
    return std::equal(prefix.begin(), prefix.end(), bytes.begin());
  };
  if (begins({0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0})) return is_public_v4(v4_at(12));  // NAT64
  if (begins({0x20, 0x02})) return is_public_v4(v4_at(2));                                       // 6to4
  if (begins({0x20, 0x01, 0x0d, 0xb8}) || begins({0x20, 0x01, 0x00})) return false;  // examples, Teredo and the like
  return (bytes[0] & 0xe0U) == 0x20;                                                 // global unicast, 2000::/3
}

}  // namespace

std::string Url::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return fmt::format("{}://{}{}{}:{}{}", scheme, v6 ? "[" : "", host, v6 ? "]" : "", port, path);
}

bool Url::same_origin(const Url& other) const {
  return scheme == other.scheme && host == other.host && port == other.port;
}

bool Url::is_loopback() const {
  if (host == "localhost" || host == "::1") return true;
  in_addr address{};
  return ::inet_pton(AF_INET, host.c_str(), &address) == 1 && ntohl(address.s_addr) >> 24 == 127;
}

Result<Url> parse_url(std::string_view text) {
  if (!is_plain(text)) return not_plain();
  const Handle handle(curl_url());
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, std::string(text).c_str(), 0) != CURLUE_OK) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no address", text.substr(0, 200)), "model");
  }
  return read(handle.get(), text);
}

Result<Url> follow(const Url& base, std::string_view location) {
  if (!is_plain(location)) return not_plain();
  const Handle handle(curl_url());
  if (!handle || curl_url_set(handle.get(), CURLUPART_URL, base.text().c_str(), 0) != CURLUE_OK ||
      curl_url_set(handle.get(), CURLUPART_URL, std::string(location).c_str(), 0) != CURLUE_OK) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is no address", location.substr(0, 200)), "model");
  }
  return read(handle.get(), location);
}

Result<void> HostRules::check(const Url& url) const {
  if (url.host != hub_.host && std::none_of(allowed_.begin(), allowed_.end(), [&](const std::string& pattern) {
        return matches(lower(pattern), url.host);
      })) {
    return fail(ErrorCode::kForbidden,
                fmt::format("Nothing is fetched from {}: add it to pull.hosts if it may be trusted.", url.host));
  }
  if (url.scheme != "https" && !url.is_loopback()) {
    return fail(ErrorCode::kForbidden,
                fmt::format("Nothing is fetched from {} over plain HTTP: use its https:// address.", url.host));
  }
  return {};
}

bool HostRules::may_be_private(std::string_view host) const {
  return host == hub_.host || std::any_of(allowed_.begin(), allowed_.end(),
                                          [&](const std::string& pattern) { return lower(pattern) == host; });
}

bool is_public_address(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    sockaddr_in v4{};
    std::memcpy(&v4, &address, sizeof(v4));
    return is_public_v4(ntohl(v4.sin_addr.s_addr));
  }
  if (address.sa_family != AF_INET6) return false;
  sockaddr_in6 v6{};
  std::memcpy(&v6, &address, sizeof(v6));
  std::array<unsigned char, 16> bytes{};
  std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
  return is_public_v6(bytes);
}

}  // namespace minerva::pull
