// Addresses: where a download may go. Each address that a download leads to is judged here, redirects included.
//
// Plain values over libcurl's URL parser; any thread. Nothing here connects or asks a name server.
#pragma once

#include <sys/socket.h>

#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/result.h"

namespace minerva::pull {

struct Url {
  std::string scheme;  // "https" or "http"
  std::string host;    // small letters, without brackets
  std::string port;    // always there: "443"
  std::string path;    // begins with a slash; with the query

  std::string text() const;
  bool same_origin(const Url& other) const;
  bool is_loopback() const;  // by the host's name: localhost, 127.x.x.x or ::1
};

// An absolute http or https address without a user's name in it; a fragment is dropped. Errors: kInvalidArgument.
Result<Url> parse_url(std::string_view text);
// Where "Location: `location`" of an answer of `base` leads. Errors: as parse_url().
Result<Url> follow(const Url& base, std::string_view location);

class HostRules {
 public:
  // `allowed`: "host", "*.host" (what is below it) or "*". The hub's own host is always allowed.
  HostRules(Url hub, std::vector<std::string> allowed) : hub_(std::move(hub)), allowed_(std::move(allowed)) {}

  const Url& hub() const { return hub_; }
  // Errors: kForbidden: the host is not allowed, or the address is plain HTTP to another machine.
  Result<void> check(const Url& url) const;
  // Whether the operator named exactly this host, so that it may be in a private network.
  bool may_be_private(std::string_view host) const;

 private:
  Url hub_;
  std::vector<std::string> allowed_;
};

// Whether an IP address is one of the public Internet's: no loopback, private, link-local, shared, multicast or
// reserved one, nor IPv6 that stands for such an IPv4 address.
bool is_public_address(const sockaddr& address);

}  // namespace minerva::pull
