// Access: who may use the server. It depends on the Host that a request names, the page it comes from, its content type
// and its API key.
//
// Pure functions of the config and of a request's head; any thread. The route table says which routes are exempt.
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

// What a route allows to browsers.
struct ForBrowsers {
  bool acts = false;      // a GET that changes something: refused from browsers, since an image is a GET too
  bool linkable = false;  // a GET that changes nothing: a link on another page may lead there
};

// Refuses two attacks through a visitor's browser: requests of a page of another origin, unless limits.allowed_origins
// has it; and requests to a name that somebody has rebound to this address. Programs send neither Origin nor
// Sec-Fetch-Site. Errors: kInvalidArgument, kForbidden.
std::optional<Error> refuse_foreign(const Config& config, const io::RequestHead& request, ForBrowsers route = {});

// The fields of an answer that let a browser show it to a page of limits.allowed_origins. Requires: refuse_foreign()
// did not refuse the request.
io::Headers cors_headers(const Config& config, const io::RequestHead& request);

// Whether a browser only asks if a page of limits.allowed_origins may send a request. Browsers send no key with that
// question.
bool is_preflight(const Config& config, const io::RequestHead& request);
// The fields of the answer to such a question, beside cors_headers(). Requires: is_preflight().
io::Headers preflight_headers(const io::RequestHead& request);

// Refuses what a page's form can send without a preflight: a body from a browser must be JSON, or a form where the
// route takes uploads. Errors: kForbidden.
std::optional<Error> refuse_form(const io::RequestHead& request, bool takes_form);

// The name of the session's cookie. Browsers send a host's cookies to all its ports, so each port has its own name.
std::string session_cookie(const io::RequestHead& request);
// The token of the session that the request's cookie names. Valid as long as the request is.
std::optional<std::string_view> session_token(const io::RequestHead& request);
// Whether this server's own page sends the request, by what the browser says. Pages on other ports of the host are the
// same site to a browser, so they come with the same cookies: they are no own pages.
bool is_own_page(const io::RequestHead& request);

// Who asks, and with which priority. The caller is the holder of the key in "Authorization: Bearer KEY", or in
// "x-api-key: KEY" as Anthropic's clients send it; without either it is the user of `session`. The priority is the
// key's; "x-minerva-priority: low | normal | high" can lower it. Where no key is needed the header can raise it too.
// Errors: kUnauthorized; kInvalidArgument: there is no such priority.
Result<Caller> identify(const Config& config, const io::RequestHead& request,
                        std::optional<UserId> session = std::nullopt);

// The caller where no key is needed: a number for the address that the request comes from (for IPv6 its network of 64
// bits), so that callers can take turns. All programs of this machine are one caller. `peer`: as Stream::peer_name()
// returns it.
UserId peer_user(std::string_view peer);

// The caller's name for people: the name of its key, or "key N" if the key has no name, where `number` is the one that
// this process gave the key. Where no key is needed: the caller's address. Never the key, and nothing that is derived
// from the key. `peer`: as Stream::peer_name() returns it.
std::string caller_name(const Config& config, const Caller& caller, std::uint32_t number, std::string_view peer);

// Whether a caller who was let in would be let in now: a reload may have removed the key.
bool still_welcome(const Config& config, const Caller& caller);

// Whether the caller may do what concerns all callers: its key is one of admin_keys, or no key is needed.
bool is_admin(const Config& config, const Caller& caller);
// Refuses `deed` ("pull models") to callers that are no admins. Errors: kForbidden.
std::optional<Error> refuse_unless_admin(const Config& config, const Caller& caller, std::string_view deed);
// The same for what shows how many tokens other callers send, and when, or ends what they do: `deed` is refused only
// where there are several keys.
std::optional<Error> refuse_among_several(const Config& config, const Caller& caller, std::string_view deed);

}  // namespace minerva
