#include "api/error_json.h"

#include <fmt/format.h>

#include "api/engine_words.h"
#include "api/json.h"

namespace minerva::api {
namespace {

constexpr std::size_t kMaxForeignText = 2000;  // bytes that are shown of an answer that is no JSON
constexpr int kMaxDepth = 16;                  // of foreign JSON; what is deeper is dropped

// The row for an answer of which only the status is known.
const ErrorInfo& info_of_status(int status) {
  switch (status) {
    case 401:
      return error_info(ErrorCode::kUnauthorized);
    case 403:
      return error_info(ErrorCode::kForbidden);
    case 404:
      return error_info(ErrorCode::kRouteNotFound);
    case 405:
      return error_info(ErrorCode::kMethodNotAllowed);
    case 408:
      return error_info(ErrorCode::kTimeout);
    case 409:
      return error_info(ErrorCode::kConflict);
    case 413:
      return error_info(ErrorCode::kTooLarge);
    case 415:
      return error_info(ErrorCode::kUnsupportedMedia);
    case 429:
      return error_info(ErrorCode::kQueueFull);
    case 431:
      return error_info(ErrorCode::kHeadersTooLarge);
    case 501:
      return error_info(ErrorCode::kNotSupported);
    case 502:
      return error_info(ErrorCode::kEngineCrashed);
    case 503:
      return error_info(ErrorCode::kNoCapacity);
    case 504:
      return error_info(ErrorCode::kEngineTimeout);
    default:
      return error_info(status >= 400 && status < 500 ? ErrorCode::kInvalidArgument : ErrorCode::kInternal);
  }
}

// An engine's own error types, in OpenAI's terms. For OpenAI's own types the row of the status is used.
struct ForeignType {
  std::string_view type;
  std::string_view openai_type;
  std::string_view code;
};
constexpr ForeignType kForeignTypes[] = {
    {"exceed_context_size_error", "invalid_request_error", "context_length_exceeded"},
    {"not_found_error", "invalid_request_error", "not_found"},
    {"not_supported_error", "invalid_request_error", "not_supported"},
    {"unavailable_error", "api_error", "unavailable"},
    {"server_error", "api_error", "engine_error"},
};

std::string text_member(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member != object.end() && member->is_string() ? member->get<std::string>() : std::string();
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view kSpace = " \t\r\n";
  const std::size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
  std::string result(text.substr(0, kMaxForeignText));
  if (text.size() > kMaxForeignText) result += " [cut]";
  return result;
}

// The object that describes the error, in the shapes that engines use; an empty object if there is none.
Json error_object(const Json& answer) {
  Json found = Json::object();
  if (!answer.is_object()) return found;
  if (const auto error = answer.find("error"); error != answer.end()) {
    if (error->is_object()) return *error;
    if (error->is_string()) found["message"] = *error;
    return found;
  }
  if (answer.contains("message")) return answer;
  if (const auto detail = answer.find("detail"); detail != answer.end()) {
    found["message"] = detail->is_string() ? detail->get<std::string>() : dump(*detail);
  }
  return found;
}

// The engine's message ends with "try increasing it", which says nothing of how. The beginning stays, since some
// clients know the error by it.
void say_how_to_fit(std::string& message) {
  constexpr std::string_view kHow = ", try increasing it";
  if (!message.ends_with(kHow)) return;
  message.resize(message.size() - kHow.size());
  message += ": send less, or raise \"context\" in the model's [model] section of the server's settings.";
}

Json normalized(int status, std::string_view body) {
  // Bounded in depth, since copying and printing recurse.
  const auto shallow = [](int depth, Json::parse_event_t, const Json&) { return depth <= kMaxDepth; };
  const Json answer = Json::parse(body, shallow, /*allow_exceptions=*/false);
  const Json given = error_object(answer);
  const ErrorInfo& info = info_of_status(status);
  std::string message = text_member(given, "message");
  if (message.empty()) message = trimmed(body);
  if (message.empty()) message = fmt::format("The engine answered with status {} and said no more.", status);

  std::string type = text_member(given, "type");
  // An engine's 404 is about its own routes and objects, not about one of our models.
  std::string code = status == 404 ? "not_found" : std::string(info.name);
  if (type.empty()) type = info.openai_type;
  for (const ForeignType& foreign : kForeignTypes) {
    if (type != foreign.type) continue;
    type = foreign.openai_type;
    code = foreign.code;
    break;
  }
  if (code == "context_length_exceeded") say_how_to_fit(message);
  if (const std::string own = text_member(given, "code"); !own.empty()) code = own;

  Json error = {{"message", message}, {"type", type}, {"param", nullptr}, {"code", code}};
  for (const auto& [name, value] : given.items()) {
    if (name == "param" ? value.is_string() : !error.contains(name)) error[name] = value;
  }
  return error;
}

}  // namespace

std::string error_body(const Error& error) {
  const ErrorInfo& info = error_info(error.code);
  const Json param = error.param.empty() ? Json(nullptr) : Json(error.param);
  Json json = {{"message", error.message}, {"type", info.openai_type}, {"param", param}, {"code", info.name}};
  if (error.decision != 0) json["decision"] = error.decision;
  return dump(Json{{"error", std::move(json)}});
}

EngineError normalize_engine_error(int status, std::string_view body) {
  const Json given = normalized(status, body);
  if (const auto own = in_own_words(text_member(given, "message"))) {
    return {error_info(own->code).http_status, error_body(*own)};
  }
  return {status, dump(Json{{"error", given}})};
}

Error error_from_answer(int status, std::string_view body) {
  const Json error = normalized(status, body);
  const ErrorInfo* info = find_error_info(text_member(error, "code"));
  return Error{info != nullptr ? info->code : info_of_status(status).code, text_member(error, "message"),
               text_member(error, "param"), 0};
}

}  // namespace minerva::api
