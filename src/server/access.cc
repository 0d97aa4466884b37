#include "server/access.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <string_view>

namespace minerva {
namespace {

constexpr std::string_view kSessionCookie = "minerva_session";

// The host of "name:port", "[::1]:port" or "name", without brackets.
std::string_view host_name(std::string_view authority) {
  if (!authority.starts_with('[')) return authority.substr(0, authority.find(':'));
  const std::size_t end = authority.find(']');
  return end == std::string_view::npos ? std::string_view() : authority.substr(1, end - 1);
}

bool host_allowed(const Config& config, std::string_view authority) {
  const std::string name(host_name(authority));
  if (name.empty()) return false;
  if (io::equal_ignoring_case(name, "localhost") || io::Address{name, 0, ""}.is_loopback()) return true;
  const bool is_address = io::is_ip_address(name);
  for (const io::Address& listens : config.listen) {
    if (io::equal_ignoring_case(name, listens.host)) return true;
    // A client that names an address was not led here by a rebound name.
    if (listens.is_wildcard() && is_address) return true;
  }
  return std::any_of(config.allowed_hosts.begin(), config.allowed_hosts.end(),
                     [&](const std::string& allowed) { return io::equal_ignoring_case(allowed, name); });
}

// Each * of the pattern matches any text without a slash.
bool matches(std::string_view pattern, std::string_view text) {
  std::size_t star = std::string_view::npos;  // the last * seen, and how far its part of the text reaches
  std::size_t reach = 0;
  std::size_t p = 0;
  std::size_t t = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      reach = t;
    } else if (p < pattern.size() && pattern[p] == text[t]) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos && text[reach] != '/') {
      p = star + 1;
      t = ++reach;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

// The request's origin if limits.allowed_origins has it, else nullptr.
const std::string* allowed_origin(const Config& config, const io::RequestHead& request) {
  if (config.allowed_origins.empty() || request.headers.count("origin") != 1) return nullptr;
  const std::string* const origin = request.headers.find("origin");
  const bool allowed =
      std::any_of(config.allowed_origins.begin(), config.allowed_origins.end(),
                  [&](const std::string& pattern) { return pattern == "*" || matches(pattern, *origin); });
  return allowed ? origin : nullptr;
}

bool is(const io::RequestHead& request, std::string_view header, std::string_view value) {
  const std::string* const field = request.headers.find(header);
  return field != nullptr && *field == value;
}

// Whether somebody followed a link. The answer is then a page of its own, which the linking page cannot read.
bool is_followed_link(const io::RequestHead& request) {
  return (request.method == "GET" || request.method == "HEAD") && request.headers.find("origin") == nullptr &&
         is(request, "sec-fetch-mode", "navigate") && is(request, "sec-fetch-dest", "document");
}

std::string_view media_type(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (!content_type.empty() && content_type.back() == ' ') content_type.remove_suffix(1);
  return content_type;
}

// Nothing if the field is not "Bearer KEY".
std::optional<std::string_view> bearer_key(std::string_view field) {
  constexpr std::string_view kScheme = "bearer ";
  if (!io::equal_ignoring_case(field.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  field.remove_prefix(kScheme.size());
  while (field.starts_with(' ')) field.remove_prefix(1);
  return field;
}

// Whether the request's one Origin is the server itself, by the Host that the request names.
bool is_same_origin(const io::RequestHead& request) {
  const std::string* const origin = request.headers.find("origin");
  const std::string* const host = request.headers.find("host");
  if (origin == nullptr || host == nullptr || request.headers.count("origin") != 1) return false;
  const std::size_t scheme = origin->find("://");
  return scheme != std::string::npos && io::equal_ignoring_case(std::string_view(*origin).substr(scheme + 3), *host);
}

// Identifies the caller by its key. Where no key is needed, every caller may do everything.
Result<Caller> key_holder(const Config& config, const io::RequestHead& request, std::optional<UserId> session) {
  if (config.accepted_keys.empty()) return Caller{};
  const std::string* const authorization = request.headers.find("authorization");
  const std::string* const plain = request.headers.find("x-api-key");
  if (plain != nullptr) {
    if (const auto caller = config.accepted_keys.find(*plain)) return *caller;
  }
  if (authorization != nullptr) {
    const auto key = bearer_key(*authorization);
    const auto caller = key ? config.accepted_keys.find(*key) : std::nullopt;
    if (caller) return *caller;
  }
  if (authorization == nullptr && plain == nullptr) {
    const auto caller = session ? config.accepted_keys.find_user(*session) : std::nullopt;
    if (caller) return *caller;
    return fail(ErrorCode::kUnauthorized,
                "This server needs an API key. Send it as \"Authorization: Bearer KEY\" or \"x-api-key: KEY\".");
  }
  return fail(ErrorCode::kUnauthorized, "The API key is not one of this server's.");
}

}  // namespace

std::optional<Error> refuse_foreign(const Config& config, const io::RequestHead& request, ForBrowsers route) {
  if (request.headers.count("host") != 1) {
    return Error{ErrorCode::kInvalidArgument, "The request needs exactly one Host header."};
  }
  const std::string& host = *request.headers.find("host");
  if (!host_allowed(config, host)) {
    return Error{ErrorCode::kForbidden,
                 "The Host header names a host this server does not answer for. Use the address it listens on, or add "
                 "the name to limits.allowed_hosts."};
  }
  const std::string* const site = request.headers.find("sec-fetch-site");
  if (site != nullptr && route.acts) {
    return Error{ErrorCode::kForbidden, "A browser's GET changes nothing here. Send it from a program, or POST."};
  }
  if (allowed_origin(config, request) != nullptr) return std::nullopt;
  if (route.linkable && is_followed_link(request)) return std::nullopt;
  const auto foreign = [] {
    return Error{ErrorCode::kForbidden,
                 "Pages of another origin may not use this server, unless limits.allowed_origins has them."};
  };
  if (request.headers.count("origin") > 0 && !is_same_origin(request)) return foreign();
  // Browsers send this field where they send no Origin, as for images. A GET, too, can load a model.
  if (site != nullptr && *site != "same-origin" && *site != "none") return foreign();
  return std::nullopt;
}

io::Headers cors_headers(const Config& config, const io::RequestHead& request) {
  io::Headers headers;
  if (config.allowed_origins.empty()) return headers;
  headers.add("Vary", "Origin");  // also without an Origin: a cache must not give that answer to a page
  if (const std::string* const origin = allowed_origin(config, request)) {
    headers.add("Access-Control-Allow-Origin", *origin);
    headers.add("Access-Control-Expose-Headers",
                "Retry-After, x-request-id, x-minerva-model, x-minerva-preset, x-minerva-cache, x-minerva-wait-ms, "
                "x-minerva-restored");
  }
  return headers;
}

bool is_preflight(const Config& config, const io::RequestHead& request) {
  return request.method == "OPTIONS" && request.headers.find("access-control-request-method") != nullptr &&
         allowed_origin(config, request) != nullptr;
}

io::Headers preflight_headers(const io::RequestHead& request) {
  io::Headers headers;
  // Allows what is asked for, and does not look at the route: without a key nobody learns which routes exist.
  headers.add("Access-Control-Allow-Methods", *request.headers.find("access-control-request-method"));
  if (const std::string* const asked = request.headers.find("access-control-request-headers")) {
    headers.add("Access-Control-Allow-Headers", *asked);
  }
  if (is(request, "access-control-request-private-network", "true")) {
    headers.add("Access-Control-Allow-Private-Network", "true");
  }
  headers.add("Access-Control-Max-Age", "600");
  return headers;
}

std::optional<Error> refuse_form(const io::RequestHead& request, bool takes_form) {
  const bool from_browser = request.headers.count("origin") > 0 || request.headers.count("sec-fetch-site") > 0;
  if (!from_browser || !request.has_body()) return std::nullopt;
  const std::string* content_type = request.headers.find("content-type");
  const std::string_view type = content_type == nullptr ? std::string_view() : media_type(*content_type);
  if (io::equal_ignoring_case(type, "application/json")) return std::nullopt;
  if (takes_form && io::equal_ignoring_case(type, "multipart/form-data")) return std::nullopt;
  return Error{ErrorCode::kForbidden, "A page's request must be JSON: send Content-Type: application/json."};
}

std::string session_cookie(const io::RequestHead& request) {
  const std::string* const host = request.headers.find("host");
  const std::string_view authority = host == nullptr ? std::string_view() : *host;
  const std::size_t colon = authority.rfind(':');
  std::string_view port = colon == std::string_view::npos ? std::string_view() : authority.substr(colon + 1);
  // The last group of an IPv6 address is no port.
  if (port.find_first_not_of("0123456789") != std::string_view::npos) port = {};
  return std::string(kSessionCookie) + (port.empty() ? "" : "_") + std::string(port);
}

std::optional<std::string_view> session_token(const io::RequestHead& request) {
  const std::string name = session_cookie(request);
  for (const io::HeaderField& field : request.headers) {
    if (!io::equal_ignoring_case(field.name, "cookie")) continue;
    std::string_view rest = field.value;
    while (!rest.empty()) {
      std::string_view pair = rest.substr(0, rest.find(';'));
      rest.remove_prefix(std::min(pair.size() + 1, rest.size()));
      while (pair.starts_with(' ')) pair.remove_prefix(1);
      const std::size_t equals = pair.find('=');
      if (equals != std::string_view::npos && pair.substr(0, equals) == name) return pair.substr(equals + 1);
    }
  }
  return std::nullopt;
}

bool is_own_page(const io::RequestHead& request) {
  const std::string* const site = request.headers.find("sec-fetch-site");
  // Browsers do not send this field to plain http addresses, except for this machine.
  return site == nullptr ? is_same_origin(request) : *site == "same-origin";
}

Result<Caller> identify(const Config& config, const io::RequestHead& request, std::optional<UserId> session) {
  Result<Caller> caller = key_holder(config, request, session);
  const std::string* const field = caller ? request.headers.find("x-minerva-priority") : nullptr;
  if (field == nullptr) return caller;
  const auto wanted = parse_priority(*field);
  if (!wanted) return fail(ErrorCode::kInvalidArgument, "The header x-minerva-priority must be low, normal or high.");
  caller->priority = config.accepted_keys.empty() ? *wanted : std::min(*wanted, caller->priority);
  return caller;
}

UserId peer_user(std::string_view peer) {
  const std::string host(host_name(peer));
  if (host == "unix" || io::Address{host, 0, ""}.is_loopback()) return {};
  // The salt differs in each process, so that nobody can choose an address with a given number.
  static const std::uint64_t salt = std::random_device()() | std::uint64_t{std::random_device()()} << 32;
  std::string network = host;
  in6_addr six{};
  // A household has any number of IPv6 addresses, but one network of 64 bits.
  if (::inet_pton(AF_INET6, host.c_str(), &six) == 1) network.assign(reinterpret_cast<const char*>(six.s6_addr), 8);
  const auto user = static_cast<std::uint64_t>(std::hash<std::string>()(network)) ^ salt;
  return UserId{std::max<std::uint64_t>(user, 1)};
}

std::string caller_name(const Config& config, const Caller& caller, std::uint32_t number, std::string_view peer) {
  if (config.accepted_keys.empty()) {
    return std::string(host_name(peer));
  }
  std::string name = config.accepted_keys.name_of(caller.user);
  return name.empty() ? fmt::format("key {}", number) : name;
}

bool still_welcome(const Config& config, const Caller& caller) {
  return config.accepted_keys.empty() || config.accepted_keys.find_user(caller.user).has_value();
}

bool is_admin(const Config& config, const Caller& caller) {
  return config.accepted_keys.empty() || config.administrators.find_user(caller.user).has_value();
}

std::optional<Error> refuse_unless_admin(const Config& config, const Caller& caller, std::string_view deed) {
  if (is_admin(config, caller)) return std::nullopt;
  return Error{ErrorCode::kForbidden,
               fmt::format("This API key may not {}: admin_keys of the config does not have it.", deed)};
}

std::optional<Error> refuse_among_several(const Config& config, const Caller& caller, std::string_view deed) {
  if (config.accepted_keys.users().size() <= 1) return std::nullopt;
  return refuse_unless_admin(config, caller, deed);
}

}  // namespace minerva
