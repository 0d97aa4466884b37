// Addresses: where a download may go. Each address of a download is judged here, those of redirects included.
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
  std::string host;    // lower case, without brackets
  std::string port;    // always set: "443"
  std::string path;    // begins with a slash; includes the query

  std::string text() const;
  bool same_origin(const Url& other) const;
  bool is_loopback() const;  // by the name of the host: localhost, 127.x.x.x or ::1
};

// Parses an absolute http or https address. It may have no user name; a fragment is dropped. Errors: kInvalidArgument.
Result<Url> parse_url(std::string_view text);
// The address that "Location: `location`" means in an answer of `base`. Errors: as parse_url().
Result<Url> follow(const Url& base, std::string_view location);

class HostRules {
 public:
  // `allowed`: "host", "*.host" (its subdomains) or "*". The hub's own host is always allowed.
  HostRules(Url hub, std::vector<std::string> allowed) : hub_(std::move(hub)), allowed_(std::move(allowed)) {}

  const Url& hub() const { return hub_; }
  // Errors: kForbidden: the host is not allowed, or the address is plain HTTP to another machine.
  Result<void> check(const Url& url) const;
  // Whether the operator allowed exactly this host, so that it may be in a private network.
  bool may_be_private(std::string_view host) const;

 private:
  Url hub_;
  std::vector<std::string> allowed_;
};

// Whether an IP address belongs to the public Internet: it is not loopback, private, link-local, shared, multicast or
// reserved, nor an IPv6 address that means such an IPv4 address.
bool is_public_address(const sockaddr& address);

}  // namespace minerva::pull
