// Preset: what requests to a name of its own say differently to one model. rewrite() puts that into a request's body:
// it splices the text where the routing scan found its members, and leaves everything else as it came.
//
// Plain values and pure functions; any thread. It does not know which models there are.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/routing_scan.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva::api {

// A member of an object, as JSON; of an object its members too.
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
  ModelId model = {};  // id or alias of a model, never of a preset
  // In the order in which they count. Names that mean the same (max_tokens, n_predict, ...) count as one.
  std::vector<std::string> strip = {};     // names that a request's body loses
  std::vector<PresetValue> defaults = {};  // for a body that does not say them, or says null
  std::vector<PresetValue> set = {};       // whatever the body says; an object is merged with the body's
  std::string system = {};                 // for a body that has no system prompt; empty: none

  bool operator==(const Preset&) const = default;
};

// By id or alias; nullptr if there is none.
const Preset* find_preset(const std::vector<Preset>& presets, std::string_view name);

// The members of an object. Errors: kInvalidArgument when `json` is none, has a name that a preset may not set, or one
// with a value that no request may have (field_limits.h; an "id_slot").
Result<std::vector<PresetValue>> parse_preset_values(std::string_view json);
// The object they are, as JSON.
std::string preset_json(const std::vector<PresetValue>& values);
// Errors: kInvalidArgument for a name that a preset may not strip.
Result<void> check_strip(const std::vector<std::string>& names);

// How a body says what comes before all messages, and how many tokens an answer may have.
enum class PromptForm {
  kChat,       // a message whose role is system or developer
  kMessages,   // "system"
  kResponses,  // "instructions"
  kOther,      // it has no place for it
};
// Of a route's path.
PromptForm prompt_form(std::string_view path);

// `body` as a request to the preset's model. `members`: as RoutingScan noted them of this body.
// Errors: kInvalidArgument when there are more members than are noted, or one that is to be merged is broken or has
// more than it may have then.
Result<std::string> rewrite(const Preset& preset, PromptForm form, std::string_view body,
                            const std::vector<MemberSpan>& members);

}  // namespace minerva::api
