// Who may in: by the Host a request names, the page it comes from, its content type and its API key.
//
// Pure functions of the config and a request's head; any thread. Which routes are exempt is in the route table.
#pragma once

#include <optional>

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

// Who asks, by "Authorization: Bearer KEY", or "x-api-key: KEY" as Anthropic's clients send it; and with which
// priority: the key's, which "x-minerva-priority: low | normal | high" can lower. Where no key is needed it can raise
// it as well. Errors: kUnauthorized; kInvalidArgument: no such priority.
Result<Caller> identify(const Config& config, const io::RequestHead& request);

// Whether `caller` may see and cancel what others have asked for: where no key is needed. No key has that right.
bool sees_all(const Config& config, const Caller& caller);

}  // namespace minerva
