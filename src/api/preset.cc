#include "api/preset.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "api/json.h"
#include "api/json_text.h"

namespace minerva::api {
namespace {

// The routing scan has read these members before a preset takes effect.
constexpr std::array<std::string_view, 3> kUntouched = {"model", "messages", "stream"};
constexpr std::array<std::string_view, 4> kMaxTokens = {"max_tokens", "max_completion_tokens", "max_output_tokens",
                                                        "n_predict"};
constexpr std::size_t kMaxDepth = 32;  // of the values of a preset

bool contains(const auto& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// One name for all names with the same meaning.
std::string_view meaning_of(std::string_view name) { return contains(kMaxTokens, name) ? kMaxTokens[0] : name; }

// The name that a body of this form uses.
std::string_view name_for(PromptForm form, std::string_view name) {
  if (!contains(kMaxTokens, name)) return name;
  if (form == PromptForm::kMessages) return "max_tokens";
  return form == PromptForm::kResponses ? "max_output_tokens" : name;
}

std::string quoted_json(std::string_view text) { return dump(Json(text)); }

std::string_view without_space_after(std::string_view text) {
  const std::size_t last = text.find_last_not_of(" \t\r\n");
  return text.substr(0, last == std::string_view::npos ? 0 : last + 1);
}

Result<void> check_name(std::string_view name) {
  if (!contains(kUntouched, name)) return {};
  return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" is the request's own: a preset may not touch it", name));
}

PresetValue preset_value(const std::string& name, const Json& json) {
  PresetValue value{name, dump(json), json.is_object()};
  for (const auto& [key, member] : json.items()) {
    if (value.is_object) value.members.push_back(preset_value(key, member));
  }
  return value;
}

std::size_t depth_of(const Json& json) {
  std::size_t deepest = 0;
  for (const Json& inner : json) {
    if (inner.is_structured()) deepest = std::max(deepest, depth_of(inner));
  }
  return 1 + deepest;
}

// Refuses values over the limits of a request's fields, and members that no request may have.
Result<void> check_limits(std::string_view object) {
  RoutingScan scan;
  scan.feed(object);
  const auto routing = scan.finish();
  if (!routing) return fail(routing.error());
  if (!routing->names_slot) return {};
  return fail(ErrorCode::kInvalidArgument,
              "\"id_slot\" picks a slot of the engine, in which requests would wait for it: leave it out");
}

// ---- the text of one object, and the changes to its members ----

class Object {
 public:
  // Requires: `spans` lie in `text`, one after the other, each with the quotes of its name.
  Object(std::string_view text, const std::vector<MemberSpan>& spans) : text_(text) {
    members_.reserve(spans.size());
    for (const MemberSpan& span : spans) members_.push_back(member_at(span));
  }
  // Nothing if `text` is no complete object.
  static std::optional<Object> read(std::string_view text) {
    JsonReader reader(text);
    if (!reader.take('{')) return std::nullopt;
    std::vector<MemberSpan> spans;
    if (reader.take('}')) return Object(text, spans);
    while (true) {
      MemberSpan span;
      if (reader.peek() != '"') return std::nullopt;
      span.key = reader.at();
      if (!reader.value() || !reader.take(':')) return std::nullopt;
      reader.peek();
      span.value = reader.at();
      if (!reader.value()) return std::nullopt;
      const char next = reader.peek();
      span.end = reader.at();
      spans.push_back(span);
      if (next == '}') return Object(text, spans);
      if (next != ',' || spans.size() > BodyScan::kMaxMembers) return std::nullopt;
      reader.take(',');
    }
  }

  // The last value of that name, which is the one that counts. Valid until the next change.
  std::optional<std::string_view> find(std::string_view name) const {
    const auto found = std::find_if(members_.rbegin(), members_.rend(),
                                    [&](const Member& member) { return !member.dropped && member.name == name; });
    return found == members_.rend() ? std::nullopt : std::optional(found->value());
  }
  bool says(std::string_view name) const {
    const auto value = find(name);
    return value && *value != "null";
  }
  // Whether the object has a member with that meaning.
  bool says_meaning(std::string_view meaning) const {
    return std::any_of(members_.begin(), members_.end(), [&](const Member& member) {
      return !member.dropped && meaning_of(member.name) == meaning && says(member.name);
    });
  }

  template <typename Matches>
  void drop(Matches matches) {
    for (Member& member : members_) member.dropped = member.dropped || matches(member.name);
  }
  void append(std::string_view name, std::string value) {
    Member member;
    member.name = name;
    member.replacement = std::move(value);
    members_.push_back(std::move(member));
  }
  // Replaces the value of the last member that matches by `change(value)`, and removes the other members that match.
  // false: there is none.
  template <typename Matches, typename Change>
  Result<bool> replace(Matches matches, Change change) {
    Member* const last = keep_last(matches);
    if (last == nullptr) return false;
    Result<std::string> value = change(last->name, last->value());
    if (!value) return fail(value.error());
    last->replacement = *std::move(value);
    return true;
  }

  // Inserts `more` into the last value of that name, at an offset, and removes the other members of that name.
  // Requires: there is one, and its value is unchanged.
  void insert(std::string_view name, std::size_t at, std::string more) {
    Member* const last = keep_last([&](std::string_view other) { return other == name; });
    last->inserted_at = at;
    last->inserted = std::move(more);
  }

  std::string text() const {
    std::string result;
    std::size_t more = 0;
    for (const Member& member : members_) {
      more += member.inserted.size();
      if (member.replacement) more += member.name.size() + member.replacement->size() + 4;
    }
    result.reserve(text_.size() + more);
    // In front of the first member, or of the brace that ends an empty object.
    std::size_t end = members_.empty() || members_[0].is_new() ? text_.rfind('}') : members_[0].span.key;
    result += text_.substr(0, end);
    bool first = true;
    for (const Member& member : members_) {
      const std::size_t before = end;
      if (!member.is_new()) end = member.span.end;
      if (member.dropped) continue;
      if (member.is_new()) {
        if (!first) result += ',';
        result += quoted_json(member.name) + ':';
      } else {
        if (!first) result += text_.substr(before, member.span.key - before);
        result += text_.substr(member.span.key, member.span.value - member.span.key);
      }
      if (member.replacement) {
        result += *member.replacement;
        if (!member.is_new()) result += member.old_value().substr(without_space_after(member.old_value()).size());
      } else {
        result += member.old_value().substr(0, member.inserted_at);
        result += member.inserted;
        result += member.old_value().substr(member.inserted_at);
      }
      first = false;
    }
    return result += text_.substr(end);
  }

 private:
  struct Member {
    std::string_view text;  // the object's text
    MemberSpan span;        // end 0: the member was appended
    std::string name;
    std::optional<std::string> replacement;
    std::string inserted;  // inserted into the value of the client
    std::size_t inserted_at = 0;
    bool dropped = false;

    bool is_new() const { return span.end == 0; }
    std::string_view old_value() const { return text.substr(span.value, span.end - span.value); }
    std::string_view value() const {
      return replacement ? std::string_view(*replacement) : without_space_after(old_value());
    }
  };

  // The member that counts among those that match: the last one. nullptr: there is none.
  template <typename Matches>
  Member* keep_last(Matches matches) {
    Member* last = nullptr;
    for (Member& member : members_) {
      if (member.dropped || !matches(member.name)) continue;
      if (last != nullptr) last->dropped = true;
      last = &member;
    }
    return last;
  }

  Member member_at(const MemberSpan& span) const {
    Member member;
    member.text = text_;
    member.span = span;
    const std::string_view key = text_.substr(span.key, text_.rfind('"', span.value - 1) + 1 - span.key);
    // A name that is no valid string is none of ours.
    member.name = string_meaning(key).value_or("");
    return member;
  }

  std::string_view text_;
  std::vector<Member> members_;  // in their order; appended members are last
};

// `old` with the members of `value`, merged as deep as both are objects.
Result<std::string> merged(std::string_view old, const PresetValue& value) {
  if (!value.is_object || !old.starts_with('{')) return value.json;
  std::optional<Object> object = Object::read(old);
  if (!object) return fail(ErrorCode::kInvalidArgument, "it is broken JSON");
  for (const PresetValue& member : value.members) {
    const auto matches = [&](std::string_view name) { return name == member.name; };
    const auto change = [&](std::string_view, std::string_view inner) { return merged(inner, member); };
    const Result<bool> replaced = object->replace(matches, change);
    if (!replaced) return fail(replaced.error());
    if (!*replaced) object->append(member.name, member.json);
  }
  return object->text();
}

// A member of the body, merged with what the preset sets in it.
Result<std::string> merged_member(std::string_view name, std::string_view old, const PresetValue& value) {
  auto result = merged(old, value);
  if (!result) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("\"{}\" cannot be merged with the preset's: {}.", name, result.error().message),
                std::string(name));
  }
  const bool is_longer = value.is_object && *result != value.json;
  if (is_longer && find_field_limit(name) != nullptr) {
    if (const auto within_limits = check_limits(fmt::format("{{{}:{}}}", quoted_json(name), *result)); !within_limits) {
      return fail(within_limits.error());
    }
  }
  return result;
}

// ---- system prompts ----

// Whether a list of messages has one whose role is system or developer. A text that is no such list has none.
bool has_system_message(std::string_view messages) {
  constexpr std::size_t kInMessage = 2;  // the depth of the members of a message
  std::size_t depth = 0;
  for (std::size_t at = next_structure(messages, 0); at < messages.size(); at = next_structure(messages, at)) {
    const char c = messages[at];
    const std::size_t begin = at++;
    if (c == '{' || c == '[') {
      ++depth;
    } else if (c != '"') {
      if (--depth == 0) return false;
    } else {
      at = string_end(messages, at);
      if (at == std::string_view::npos || depth < kInMessage) return false;
      if (depth > kInMessage || !means(messages.substr(begin, at - begin), "role")) continue;
      JsonReader reader(messages, at);
      if (!reader.take(':')) continue;  // the string was a value, not a name
      const auto role = reader.value();
      if (role && (means(*role, "system") || means(*role, "developer"))) return true;
    }
  }
  return false;
}

void add_system_message(Object& body, std::string_view prompt) {
  const auto messages = body.find("messages");
  if (!messages || !messages->starts_with('[') || has_system_message(*messages)) return;
  const bool is_empty = JsonReader(*messages, 1).peek() == ']';
  body.insert("messages", 1,
              fmt::format(R"({{"role":"system","content":{}}}{})", quoted_json(prompt), is_empty ? "" : ","));
}

// Sets `field` to the prompt, unless the body has a system prompt there or among its `messages`.
void add_system_field(Object& body, std::string_view field, std::string_view messages, std::string_view prompt) {
  if (body.says(field) || has_system_message(body.find(messages).value_or(""))) return;
  body.drop([&](std::string_view name) { return name == field; });
  body.append(field, quoted_json(prompt));
}

void add_system(Object& body, PromptForm form, std::string_view prompt) {
  if (form == PromptForm::kChat) add_system_message(body, prompt);
  if (form == PromptForm::kMessages) add_system_field(body, "system", "messages", prompt);
  if (form == PromptForm::kResponses) add_system_field(body, "instructions", "input", prompt);
}

}  // namespace

const Preset* find_preset(const std::vector<Preset>& presets, std::string_view name) {
  const auto found = std::find_if(presets.begin(), presets.end(), [&](const Preset& preset) {
    return preset.id == name || contains(preset.aliases, name);
  });
  return found == presets.end() ? nullptr : &*found;
}

Result<std::vector<PresetValue>> parse_preset_values(std::string_view json) {
  const Json object = Json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!object.is_object()) return fail(ErrorCode::kInvalidArgument, "it must be an object");
  if (depth_of(object) > kMaxDepth) {
    return fail(ErrorCode::kInvalidArgument, fmt::format("it is nested more than {} levels deep", kMaxDepth));
  }
  std::vector<PresetValue> values;
  for (const auto& [name, member] : object.items()) {
    if (const auto allowed = check_name(name); !allowed) return fail(allowed.error());
    const auto means_the_same = [&](const PresetValue& other) { return meaning_of(other.name) == meaning_of(name); };
    if (const auto twin = std::find_if(values.begin(), values.end(), means_the_same); twin != values.end()) {
      return fail(ErrorCode::kInvalidArgument, fmt::format("\"{}\" and \"{}\" mean the same", twin->name, name));
    }
    values.push_back(preset_value(name, member));
  }
  if (const auto within_limits = check_limits(json); !within_limits) return fail(within_limits.error());
  return values;
}

std::string preset_json(const std::vector<PresetValue>& values) {
  std::vector<std::string> members;
  members.reserve(values.size());
  for (const PresetValue& value : values) members.push_back(fmt::format("{}:{}", quoted_json(value.name), value.json));
  return fmt::format("{{{}}}", fmt::join(members, ","));
}

Result<void> check_strip(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (const auto allowed = check_name(name); !allowed) return allowed;
  }
  return {};
}

PromptForm prompt_form(std::string_view path) {
  while (path.ends_with('/')) path.remove_suffix(1);
  // The routes that count a prompt's tokens take the same body as the route itself.
  for (const std::string_view counting : {"/input_tokens", "/count_tokens"}) {
    if (path.ends_with(counting)) path.remove_suffix(counting.size());
  }
  if (path.ends_with("/chat/completions") || path.ends_with("/apply-template")) return PromptForm::kChat;
  if (path.ends_with("/messages")) return PromptForm::kMessages;
  return path.ends_with("/responses") ? PromptForm::kResponses : PromptForm::kOther;
}

Result<std::string> rewrite(const Preset& preset, PromptForm form, std::string_view body,
                            const std::vector<MemberSpan>& members) {
  if (members.size() > BodyScan::kMaxMembers) {
    return fail(ErrorCode::kInvalidArgument,
                fmt::format("A body may have {} members at most where a preset is asked.", BodyScan::kMaxMembers));
  }
  Object object(body, members);
  const auto same_meaning = [](std::string_view wanted) {
    return [meaning = meaning_of(wanted)](std::string_view name) { return meaning_of(name) == meaning; };
  };
  for (const std::string& name : preset.strip) object.drop(same_meaning(name));
  for (const PresetValue& value : preset.defaults) {
    if (object.says_meaning(meaning_of(value.name))) continue;
    object.drop(same_meaning(value.name));
    object.append(name_for(form, value.name), value.json);
  }
  for (const PresetValue& value : preset.set) {
    const Result<bool> replaced =
        object.replace(same_meaning(value.name),
                       [&](std::string_view name, std::string_view old) { return merged_member(name, old, value); });
    if (!replaced) return fail(replaced.error());
    if (!*replaced) object.append(name_for(form, value.name), value.json);
  }
  const auto is_model = [](std::string_view name) { return name == "model"; };
  const auto named = [&](std::string_view, std::string_view) -> Result<std::string> {
    return quoted_json(preset.model);
  };
  static_cast<void>(object.replace(is_model, named));
  if (!preset.system.empty()) add_system(object, form, preset.system);
  return object.text();
}

}  // namespace minerva::api
