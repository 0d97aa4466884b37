// Preset: another name for a model, and changes to the requests that use that name. rewrite() makes these changes in a
// request's body. It splices the text where the routing scan found members, and leaves everything else as the client
// wrote it.
//
// Plain values and pure functions; any thread. It does not know which models exist.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/routing_scan.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva::api {

// A member of an object: its value as JSON. If the value is an object, also the members of that object.
struct PresetValue {
  std::string name;
  std::string json;
  bool is_object = false;
  std::vector<PresetValue> members = {};

  bool operator==(const PresetValue&) const = default;
};

struct Preset {
  ModelId id;
  std::vector<ModelId> aliases = {};
  ModelId model = {};  // id or alias of a model, never of another preset
  // The changes, in the order in which they are made. Names with the same meaning (max_tokens, n_predict, ...) count as
  // one name.
  std::vector<std::string> strip = {};     // names that are removed from the body
  std::vector<PresetValue> defaults = {};  // set if the body does not have them, or has null
  std::vector<PresetValue> set = {};       // set whatever the body has; an object is merged with the body's
  std::string system = {};                 // added if the body has no system prompt; empty: none

  bool operator==(const Preset&) const = default;
};

// Finds a preset by id or alias; nullptr if there is none.
const Preset* find_preset(const std::vector<Preset>& presets, std::string_view name);

// The members of the object `json`. Errors: kInvalidArgument when `json` is no object, has a name that a preset may not
// set, or has a value that no request may have (field_limits.h; an "id_slot").
Result<std::vector<PresetValue>> parse_preset_values(std::string_view json);
// The reverse: the values as one JSON object.
std::string preset_json(const std::vector<PresetValue>& values);
// Errors: kInvalidArgument if a preset may not strip one of the names.
Result<void> check_strip(const std::vector<std::string>& names);

// How a body says its system prompt, and how many tokens an answer may have.
enum class PromptForm {
  kChat,       // a message whose role is system or developer
  kMessages,   // "system"
  kResponses,  // "instructions"
  kOther,      // the body has no system prompt
};
// `path`: the path of a route.
PromptForm prompt_form(std::string_view path);

// `body`, changed into a request to the preset's model. `members`: as RoutingScan noted them in this body.
// Errors: kInvalidArgument when there are more members than are noted, when a member that is to be merged is broken, or
// when it is over its limit after the merge.
Result<std::string> rewrite(const Preset& preset, PromptForm form, std::string_view body,
                            const std::vector<MemberSpan>& members);

}  // namespace minerva::api
