#include "ollama/chat_answer.h"

#include <utility>

#include "api/error_json.h"
#include "ollama/messages.h"
#include "ollama/request.h"

namespace minerva::ollama {
namespace {

std::string_view text_of(const Json& object, const char* name) {
  const Json* const value = find_member(object, name);
  return value != nullptr && value->is_string() ? std::string_view(value->get_ref<const std::string&>())
                                                : std::string_view();
}

// Ollama's word for the reason why the engine stopped.
std::string_view done_reason(std::string_view reason) {
  return reason == "length" || reason == "limit" ? "length" : "stop";
}

}  // namespace

std::string ChatAnswer::part(std::string_view text, std::string_view thinking, const Json* tool_calls) const {
  Json json = answer_head(answer_);
  if (verb_ == Verb::kChat) {
    Json& message = json["message"] = {{"role", "assistant"}, {"content", text}};
    if (!thinking.empty()) message["thinking"] = thinking;
    if (tool_calls != nullptr) message["tool_calls"] = *tool_calls;
  } else {
    json["response"] = text;
    if (!thinking.empty()) json["thinking"] = thinking;
  }
  json["done"] = false;
  return api::dump(json) + "\n";
}

void ChatAnswer::take_tool_calls(const Json& calls) {
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const Json& call = calls[i];
    if (!call.is_object()) continue;
    // A complete call has no index.
    std::size_t index = tool_calls_.size();
    if (const Json* given = find_member(call, "index"); given != nullptr && given->is_number_unsigned()) {
      index = given->get<std::size_t>();
    }
    if (index >= kMaxToolCalls) continue;
    while (tool_calls_.size() <= index) tool_calls_.push_back({{"function", {{"arguments", ""}}}});
    Json& known = tool_calls_[index];
    if (const std::string_view id = text_of(call, "id"); !id.empty()) known["id"] = id;
    const Json* const function = find_member(call, "function");
    if (function == nullptr) continue;
    if (const std::string_view name = text_of(*function, "name"); !name.empty()) known["function"]["name"] = name;
    const Json* const arguments = find_member(*function, "arguments");
    if (arguments == nullptr) continue;
    const std::string more = arguments->is_string() ? arguments->get<std::string>() : api::dump(*arguments);
    tool_bytes_ += more.size();
    if (tool_bytes_ <= kMaxEvent) known["function"]["arguments"].get_ref<std::string&>() += more;
  }
}

Result<std::string> ChatAnswer::take_event(const Json& event) {
  if (find_member(event, "error") != nullptr) {
    const Json* const code = find_member(event["error"], "code");
    const bool known = code != nullptr && code->is_number_integer();
    const auto status = known ? code->get<std::int64_t>() : 500;
    return fail(
        api::error_from_answer(status >= 400 && status < 600 ? static_cast<int>(status) : 500, api::dump(event)));
  }
  note_work(event, work_);
  std::string_view text;
  std::string_view thinking;
  if (const Json* choices = find_member(event, "choices")) {
    if (!choices->is_array() || choices->empty()) return std::string();
    const Json& choice = (*choices)[0];
    const Json* message = find_member(choice, "delta");
    if (message == nullptr) message = find_member(choice, "message");
    if (message != nullptr) {
      text = text_of(*message, "content");
      thinking = text_of(*message, "reasoning_content");
      const Json* const calls = find_member(*message, "tool_calls");
      if (calls != nullptr && calls->is_array()) take_tool_calls(*calls);
    } else {
      text = text_of(choice, "text");
    }
    if (const std::string_view reason = text_of(choice, "finish_reason"); !reason.empty()) {
      reason_ = reason;
      ended_ = true;
    }
  } else {
    text = text_of(event, "content");
    const Json* const stop = find_member(event, "stop");
    if (stop != nullptr && *stop == true) {
      reason_ = text_of(event, "stop_type");
      ended_ = true;
    }
  }
  if (text.empty() && thinking.empty()) return std::string();
  if (stream_) return part(text, thinking, nullptr);
  text_ += text;
  thinking_ += thinking;
  return std::string();
}

Result<std::string> ChatAnswer::take_line(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  constexpr std::string_view kData = "data:";
  if (!line.starts_with(kData)) return std::string();
  line.remove_prefix(kData.size());
  if (line.starts_with(' ')) line.remove_prefix(1);
  if (line == "[DONE]") {
    ended_ = true;
    return std::string();
  }
  const std::optional<Json> event = parse_foreign(line);
  if (!event || !event->is_object()) return not_understood("an event of its stream is no JSON");
  return take_event(*event);
}

Result<std::string> ChatAnswer::take(std::string_view piece) {
  if (!stream_) {
    pending_ += piece;
    if (pending_.size() > kMaxAnswer) return not_understood("it is too long");
    return std::string();
  }
  std::string out;
  while (!piece.empty()) {
    const std::size_t end = piece.find('\n');
    if (end == std::string_view::npos) {
      pending_ += piece;
      if (pending_.size() > kMaxEvent) return not_understood("an event of its stream is too long");
      break;
    }
    Result<std::string> lines = std::string();
    if (pending_.empty()) {
      lines = take_line(piece.substr(0, end));
    } else {
      pending_ += piece.substr(0, end);
      lines = take_line(std::exchange(pending_, {}));
    }
    if (!lines) return lines;
    out += *lines;
    piece.remove_prefix(end + 1);
  }
  return out;
}

Result<std::string> ChatAnswer::finish() {
  if (!stream_) {
    const std::optional<Json> whole = parse_foreign(pending_);
    if (!whole || !whole->is_object()) return not_understood("it is no JSON");
    if (const Result<std::string> taken = take_event(*whole); !taken) return taken;
    ended_ = true;
  } else if (!pending_.empty()) {
    if (const Result<std::string> last = take_line(std::exchange(pending_, {})); !last) return last;
  }
  if (!ended_) return not_understood("it broke off");
  const Json calls = ollama_tool_calls(tool_calls_);
  std::string out;
  // Clients expect the calls before the last line, which has the counts.
  if (stream_ && !calls.empty() && verb_ == Verb::kChat) out = part("", "", &calls);
  Json last = answer_head(answer_);
  if (verb_ == Verb::kChat) {
    Json& message = last["message"] = {{"role", "assistant"}, {"content", text_}};
    if (!thinking_.empty()) message["thinking"] = thinking_;
    if (!stream_ && !calls.empty()) message["tool_calls"] = calls;
  } else {
    last["response"] = text_;
    if (!thinking_.empty()) last["thinking"] = thinking_;
  }
  last["done"] = true;
  last["done_reason"] = done_reason(reason_);
  add_work(answer_, work_, /*generates=*/true, last);
  return out + api::dump(last) + (stream_ ? "\n" : "");
}

std::optional<std::string> ChatAnswer::smaller_body(int status, std::string_view answer) {
  if (status != 400 || body_.empty() || tries_ >= kMaxTries) return std::nullopt;
  const std::optional<double> part = part_that_fits(answer);
  if (!part) return std::nullopt;
  Json engine = Json::parse(body_, nullptr, /*allow_exceptions=*/false);
  std::optional<Json> messages = without_oldest(engine["messages"], *part);
  if (!messages) return std::nullopt;
  engine["messages"] = *std::move(messages);
  ++tries_;
  body_ = api::dump(engine);
  return body_;
}

}  // namespace minerva::ollama
