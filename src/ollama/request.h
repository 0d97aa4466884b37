// What all requests of Ollama's API have in common: a JSON object with a model, `stream`, `keep_alive` and `options`.
//
// Pure; any thread. It does not know which models exist.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "api/json.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva::ollama {

using api::Json;

// How long a model stays in memory after the request. Not set: as long as the config says.
struct KeepAlive {
  std::optional<Duration> time;  // not set: without end; 0: it leaves after the answer

  bool leaves_at_once() const { return time && *time == Duration::zero(); }
  bool operator==(const KeepAlive&) const = default;
};

struct Request {
  std::string model;  // the name in the request, also from "name"
  bool stream = true;
  bool truncate = true;
  std::optional<KeepAlive> keep_alive;
  Json body;  // the whole object
};

// Errors: kInvalidArgument, with what is wrong; also for nesting and values that the routes of an engine would refuse.
Result<Request> parse_request(std::string_view body);

// Checks a body for the engine against the limits of inference requests (api/field_limits.h).
// Errors: kInvalidArgument.
std::optional<Error> over_limits(std::string_view engine_body);

// Parses a text from outside. Nothing if it is no JSON. What is nested too deep to be printed is left out.
std::optional<Json> parse_foreign(std::string_view text);

// The member with that type; nothing if it is absent or null. Errors: kInvalidArgument with its name.
Result<std::string> text_member(const Json& object, const char* name);
Result<bool> flag_member(const Json& object, const char* name, bool otherwise);
// The member; nullptr if it is absent or null.
const Json* find_member(const Json& object, const char* name);
// Whether the value is the text "", which Ollama's clients send for what they do not set.
bool is_empty_text(const Json& value);

// By an engine's refusal: the part of the request's tokens that fits into its context (0 to 1). Nothing if the engine
// refused for another reason.
std::optional<double> part_that_fits(std::string_view answer);

Error wrong_type(std::string_view name, std::string_view expected);

}  // namespace minerva::ollama
