#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/un.h>

#include <charconv>

#include "io/stream.h"

namespace minerva::io {
namespace {

Failure expected(std::string_view text, std::string_view problem) {
  return fail(ErrorCode::kInvalidArgument,
              fmt::format("\"{}\": {}; expected ADDRESS:PORT, [IPV6]:PORT or unix:/path", text, problem));
}

}  // namespace

bool is_ip_address(const std::string& text) {
  in6_addr ignored{};
  return ::inet_pton(AF_INET, text.c_str(), &ignored) == 1 || ::inet_pton(AF_INET6, text.c_str(), &ignored) == 1;
}

bool Address::is_wildcard() const {
  in6_addr v6{};
  return host == "0.0.0.0" || (::inet_pton(AF_INET6, host.c_str(), &v6) == 1 && IN6_IS_ADDR_UNSPECIFIED(&v6));
}

bool Address::is_loopback() const {
  if (is_unix() || host == "localhost" || host == "::1") return true;
  in_addr v4{};
  return ::inet_pton(AF_INET, host.c_str(), &v4) == 1 && (ntohl(v4.s_addr) >> 24) == 127;
}

std::string Address::text() const {
  if (is_unix()) return "unix:" + unix_path;
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

Result<Address> parse_address(std::string_view text) {
  Address address;
  if (text.starts_with("unix:")) {
    address.unix_path = text.substr(5);
    if (address.unix_path.empty()) return expected(text, "the path is missing");
    if (address.unix_path.size() >= sizeof(sockaddr_un::sun_path)) {
      return expected(
          text, fmt::format("the path of a Unix socket may have {} bytes at most", sizeof(sockaddr_un::sun_path) - 1));
    }
    return address;
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return expected(text, "the port is missing");
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return expected(text, "an IPv6 address needs brackets");
  }
  address.host = host;
  if (address.host != "localhost" && !is_ip_address(address.host))
    return expected(text, "not an IP address or \"localhost\"");
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (port.empty() || error != std::errc{} || end != port.data() + port.size()) {
    return expected(text, "the port must be a number from 0 to 65535");
  }
  return address;
}

}  // namespace minerva::io
