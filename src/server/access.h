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

// A page of another origin must not reach the server through its visitor's browser, and a name that somebody rebinds to
// this address must not either. Programs send neither Origin nor Sec-Fetch-Site. Errors: kInvalidArgument, kForbidden.
std::optional<Error> refuse_foreign(const Config& config, const io::RequestHead& request);

// What a form of a page can send without asking first is no request of ours: a browser's body is JSON (or, for a route
// that takes uploads, a form). Errors: kForbidden.
std::optional<Error> refuse_form(const io::RequestHead& request, bool takes_form);

// Who asks, by "Authorization: Bearer KEY", or "x-api-key: KEY" as Anthropic's clients send it; and with which
// priority: the key's, which "x-minerva-priority: low | normal | high" can lower. Where no key is needed it can raise
// it as well. Errors: kUnauthorized; kInvalidArgument: no such priority.
Result<Caller> identify(const Config& config, const io::RequestHead& request);

}  // namespace minerva
