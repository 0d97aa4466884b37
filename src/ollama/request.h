// What all requests of Ollama's API have in common: a JSON object with a model, `stream`, `keep_alive` and `options`.
//
// Pure; any thread. It does not know models: which names there are is the server's business.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/json.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva::ollama {

using api::Json;

// How long a model stays in memory after the request. Not set: as the config says.
struct KeepAlive {
  std::optional<Duration> time;  // not set: as long as it may; 0: it leaves after the answer

  bool leaves_at_once() const { return time && *time == Duration::zero(); }
  bool operator==(const KeepAlive&) const = default;
};

struct Request {
  std::string model;  // as it was named, also as "name"
  bool stream = true;
  bool truncate = true;
  std::optional<KeepAlive> keep_alive;
  Json body;  // the whole object
};

// Errors: kInvalidArgument, with what is wrong; also for nesting and values that the routes of an engine refuse.
Result<Request> parse_request(std::string_view body);

// Holds a body for the engine to what each inference request is held to (api/field_limits.h).
// Errors: kInvalidArgument.
std::optional<Error> over_limits(std::string_view engine_body);

// Text from outside: nothing if it is no JSON; what is nested too deep to be printed is left out.
std::optional<Json> parse_foreign(std::string_view text);

// A member of that type; nothing if it is absent or null. Errors: kInvalidArgument naming it.
Result<std::string> text_member(const Json& object, const char* name);
Result<bool> flag_member(const Json& object, const char* name, bool otherwise);
// nullptr if it is absent or null.
const Json* find_member(const Json& object, const char* name);
// Whether it is the text "", which clients of Ollama send for what they do not set.
bool is_empty_text(const Json& value);

// Of an engine's refusal: what part of the request's tokens its context has room for (0 to 1); nothing if it was
// refused for another reason.
std::optional<double> part_that_fits(std::string_view answer);

Error wrong_type(std::string_view name, std::string_view expected);

}  // namespace minerva::ollama
