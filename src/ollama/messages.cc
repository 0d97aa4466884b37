#include "ollama/messages.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <utility>
#include <vector>

namespace minerva::ollama {
namespace {

// The first characters of the base64 text of each format.
struct Magic {
  std::string_view begin;
  std::string_view type;
};
constexpr std::array kMagic = {Magic{"iVBORw0KGgo", "image/png"}, Magic{"/9j/", "image/jpeg"},
                               Magic{"R0lGOD", "image/gif"}, Magic{"UklGR", "image/webp"}, Magic{"Qk", "image/bmp"}};

struct Call {
  std::string name;
  std::string id;
};

Error wrong_at(std::string_view place, std::string_view what) {
  return {ErrorCode::kInvalidArgument, fmt::format("{} {}.", place, what), std::string(place)};
}

// Translates the calls of one message. `pending`: the calls that no tool has answered yet.
Result<Json> openai_tool_calls(const Json& calls, std::string_view place, std::size_t& count,
                               std::deque<Call>& pending) {
  if (!calls.is_array()) return fail(wrong_at(place, "must be a list"));
  Json result = Json::array();
  for (const Json& call : calls) {
    const Json* const function = find_member(call, "function");
    const Json* const name = function == nullptr ? nullptr : find_member(*function, "name");
    if (name == nullptr || !name->is_string()) return fail(wrong_at(place, "must have a function with a name each"));
    const Json* const id = find_member(call, "id");
    const bool has_id = id != nullptr && id->is_string() && !id->get_ref<const std::string&>().empty();
    const std::string own_id = has_id ? id->get<std::string>() : fmt::format("call_{}", count);
    ++count;
    const Json* const arguments = find_member(*function, "arguments");
    std::string text = "{}";
    if (arguments != nullptr) text = arguments->is_string() ? arguments->get<std::string>() : api::dump(*arguments);
    result.push_back({{"id", own_id}, {"type", "function"}, {"function", {{"name", *name}, {"arguments", text}}}});
    pending.push_back({name->get<std::string>(), own_id});
  }
  return result;
}

// The id of the call that a tool's message answers: by its id, else by its name, else the oldest call.
std::string answered_call(const Json& message, const std::string& tool, std::deque<Call>& pending) {
  const Json* const given = find_member(message, "tool_call_id");
  const std::string id = given != nullptr && given->is_string() ? given->get<std::string>() : std::string();
  auto found = pending.begin();
  while (found != pending.end() && (id.empty() ? found->name != tool : found->id != id)) ++found;
  if (found == pending.end() && id.empty()) found = pending.begin();
  if (found == pending.end()) return id.empty() ? "call_0" : id;
  std::string result = found->id;
  pending.erase(found);
  return result;
}

bool is_system(const Json& message) {
  const Json* const role = find_member(message, "role");
  return role != nullptr && (*role == "system" || *role == "developer");
}

bool is_user(const Json& message) {
  const Json* const role = find_member(message, "role");
  return role != nullptr && *role == "user";
}

}  // namespace

std::string image_url(std::string_view base64) {
  if (base64.starts_with("data:")) {
    // Browsers write a data URL, whose type may be wrong: only the content counts.
    const std::size_t comma = base64.find(',');
    base64.remove_prefix(comma == std::string_view::npos ? base64.size() : comma + 1);
  }
  std::string_view type = "image/jpeg";
  for (const Magic& magic : kMagic) {
    if (!base64.starts_with(magic.begin)) continue;
    type = magic.type;
    break;
  }
  return fmt::format("data:{};base64,{}", type, base64);
}

Result<Json> content_of(const std::string& text, const Json* images, std::string_view place) {
  if (images == nullptr || (images->is_array() && images->empty())) return Json(text);
  const auto wrong = [&] { return fail(wrong_at(place, "must be a list of images in base64")); };
  if (!images->is_array()) return wrong();
  Json parts = Json::array();
  for (const Json& image : *images) {
    if (!image.is_string()) return wrong();
    parts.push_back({{"type", "image_url"}, {"image_url", {{"url", image_url(image.get_ref<const std::string&>())}}}});
  }
  if (!text.empty()) parts.push_back({{"type", "text"}, {"text", text}});
  return parts;
}

Result<Json> openai_messages(const Json& messages) {
  if (!messages.is_array()) return fail(wrong_type("messages", "a list"));
  Json result = Json::array();
  std::size_t calls = 0;
  std::deque<Call> pending;
  for (std::size_t i = 0; i < messages.size(); ++i) {
    const Json& message = messages[i];
    const std::string place = fmt::format("messages[{}]", i);
    if (!message.is_object()) return fail(wrong_at(place, "must be an object"));
    const Result<std::string> role = text_member(message, "role");
    const Result<std::string> text = text_member(message, "content");
    const Result<std::string> thinking = text_member(message, "thinking");
    Result<std::string> tool = text_member(message, "tool_name");
    if (tool && tool->empty()) tool = text_member(message, "name");
    for (const Result<std::string>* member : {&role, &text, &thinking, &std::as_const(tool)}) {
      if (!*member) return fail(wrong_at(place, "has a member of the wrong type: " + member->error().message));
    }
    if (role->empty()) return fail(wrong_at(place, "has no role"));
    const Result<Json> content = content_of(*text, find_member(message, "images"), place + ".images");
    if (!content) return fail(content.error());
    Json translated = {{"role", *role}, {"content", *content}};
    if (!thinking->empty()) translated["reasoning_content"] = *thinking;
    if (const Json* made = find_member(message, "tool_calls"); made != nullptr && !made->empty()) {
      pending.clear();
      Result<Json> tool_calls = openai_tool_calls(*made, place + ".tool_calls", calls, pending);
      if (!tool_calls) return fail(tool_calls.error());
      translated["tool_calls"] = *std::move(tool_calls);
    }
    if (*role == "tool") {
      translated["tool_call_id"] = answered_call(message, *tool, pending);
      if (!tool->empty()) translated["name"] = *tool;
    }
    result.push_back(std::move(translated));
  }
  return result;
}

std::size_t turns(const Json& messages) {
  return static_cast<std::size_t>(std::count_if(messages.begin(), messages.end(), is_user));
}

std::optional<Json> without_oldest(const Json& messages, double part) {
  std::vector<std::size_t> sizes;
  std::size_t all = 0;
  std::size_t last_user = messages.size();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    sizes.push_back(is_system(messages[i]) ? 0 : api::dump(messages[i]).size());
    all += sizes.back();
    if (is_user(messages[i])) last_user = i;
  }
  if (last_user == messages.size()) return std::nullopt;
  const auto to_drop = static_cast<double>(all) * (1 - part);
  std::size_t dropped = 0;
  std::size_t first_kept = 0;
  // Only whole turns go: an answer without its question, or a tool's answer without its call, makes no sense.
  for (std::size_t i = 0; i < last_user; ++i) {
    const bool turn_ends = is_user(messages[i + 1]);
    dropped += sizes[i];
    if (!turn_ends) continue;
    first_kept = i + 1;
    if (dropped > 0 && static_cast<double>(dropped) >= to_drop) break;
  }
  if (dropped == 0) return std::nullopt;
  Json result = Json::array();
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (i >= first_kept || is_system(messages[i])) result.push_back(messages[i]);
  }
  return result;
}

Json ollama_tool_calls(const Json& calls) {
  Json result = Json::array();
  for (const Json& call : calls) {
    const Json* const function = find_member(call, "function");
    if (function == nullptr) continue;
    const Json* const name = find_member(*function, "name");
    const Json* const given = find_member(*function, "arguments");
    if (name == nullptr || !name->is_string()) continue;
    std::optional<Json> arguments = Json::object();
    if (given != nullptr && given->is_string()) {
      const auto& text = given->get_ref<const std::string&>();
      if (!text.empty()) arguments = parse_foreign(text);
    } else if (given != nullptr) {
      arguments = *given;
    }
    if (!arguments || !arguments->is_object()) continue;
    Json translated = Json::object();
    if (const Json* id = find_member(call, "id"); id != nullptr && id->is_string()) translated["id"] = *id;
    translated["function"] = {{"index", result.size()}, {"name", *name}, {"arguments", *std::move(arguments)}};
    result.push_back(std::move(translated));
  }
  return result;
}

}  // namespace minerva::ollama
