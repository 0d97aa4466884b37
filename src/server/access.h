// Who may in: by the Host a request names, the page it comes from, its content type and its API key.
//
// Pure functions of the config and a request's head; any thread. Which routes are exempt is in the route table.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"
#include "io/http.h"
#include "minerva/base/result.h"
#include "minerva/context/types.h"

namespace minerva {

// What a route lets browsers do.
struct ForBrowsers {
  bool acts = false;      // a GET that changes something: they are refused, as an image is a GET too
  bool linkable = false;  // a GET that changes nothing: a link of another page may lead there
};

// A page of another origin must not reach the server through its visitor's browser, unless limits.allowed_origins has
// it; and a name that somebody rebinds to this address must not either. Programs send neither Origin nor
// Sec-Fetch-Site. Errors: kInvalidArgument, kForbidden.
std::optional<Error> refuse_foreign(const Config& config, const io::RequestHead& request, ForBrowsers route = {});

// What the answer carries so that a browser shows it to a page of limits.allowed_origins. Requires: not refused above.
io::Headers cors_headers(const Config& config, const io::RequestHead& request);

// Whether a browser only asks if a page of limits.allowed_origins may send a request. It sends no key with that.
bool is_preflight(const Config& config, const io::RequestHead& request);
// What such a question is answered with, beside cors_headers(). Requires: is_preflight().
io::Headers preflight_headers(const io::RequestHead& request);

// What a form of a page can send without asking first is no request of ours: a browser's body is JSON (or, for a route
// that takes uploads, a form). Errors: kForbidden.
std::optional<Error> refuse_form(const io::RequestHead& request, bool takes_form);

// What the cookie of a session is called. Browsers send a host's cookies to all its ports: each has one of its own.
std::string session_cookie(const io::RequestHead& request);
// The token of the session that a request's cookie names. Valid as long as the request is.
std::optional<std::string_view> session_token(const io::RequestHead& request);
// Whether this server's own page sends the request, as its browser says. Pages of the same host's other ports count as
// the same site, so that they come with its cookie.
bool is_own_page(const io::RequestHead& request);

// Who asks, by "Authorization: Bearer KEY", or "x-api-key: KEY" as Anthropic's clients send it, or without either by
// the session whose user is handed in; and with which priority: the key's, which "x-minerva-priority: low | normal |
// high" can lower. Where no key is needed it can raise it as well. Errors: kUnauthorized; kInvalidArgument: no such
// priority.
Result<Caller> identify(const Config& config, const io::RequestHead& request,
                        std::optional<UserId> session = std::nullopt);

// Who asks where no key is needed: a number for the address it comes from (of IPv6 its network of 64 bits), so that
// callers take turns. All of this machine are one. `peer`: as Stream::peer_name() has it.
UserId peer_user(std::string_view peer);

// What people call the one who asks: the name of its key, or "key N" if that has none, where `number` is the one that
// this process has given it; where no key is needed the address that it comes from. Never the key, and nothing that was
// made from it. `peer`: as Stream::peer_name() has it.
std::string caller_name(const Config& config, const Caller& caller, std::uint32_t number, std::string_view peer);

// Whether who was let in would be let in now: a reload may have taken the key away.
bool still_welcome(const Config& config, const Caller& caller);

// Whether the caller may do what concerns all callers: with one of admin_keys; everybody where no key is needed.
bool is_admin(const Config& config, const Caller& caller);
// Refuses `deed` ("pull models") to all others. Errors: kForbidden.
std::optional<Error> refuse_unless_admin(const Config& config, const Caller& caller, std::string_view deed);

}  // namespace minerva
