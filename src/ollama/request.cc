#include "ollama/request.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <utility>

#include "api/routing_scan.h"

namespace minerva::ollama {
namespace {

constexpr double kLongestS = 365.0 * 24 * 3600;
constexpr int kMaxDepth = 64;

// Seconds: "5m", "1h30m", "300ms", "-1", in Go's form of durations; a number without a unit is in seconds. Nothing if
// the text is no duration.
std::optional<double> seconds_of(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty()) return std::nullopt;
  constexpr std::pair<std::string_view, double> kUnits[] = {{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3},
                                                            {"s", 1},     {"m", 60},    {"h", 3600}};
  double sum = 0;
  bool bare = false;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || !std::isfinite(number) || number < 0 || bare) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    std::size_t letters = 0;
    while (letters < text.size() && std::isalpha(static_cast<unsigned char>(text[letters])) != 0) ++letters;
    const std::string_view unit = text.substr(0, letters);
    text.remove_prefix(letters);
    double scale = 1;
    bare = unit.empty();
    if (!bare) {
      bool known = false;
      for (const auto& [name, seconds] : kUnits) {
        if (unit != name) continue;
        scale = seconds;
        known = true;
      }
      if (!known) return std::nullopt;
    }
    sum += number * scale;
  }
  return negative ? -sum : sum;
}

Result<std::optional<KeepAlive>> keep_alive_of(const Json& body) {
  const Json* const value = find_member(body, "keep_alive");
  if (value == nullptr) return std::nullopt;
  std::optional<double> seconds;
  if (value->is_number()) seconds = value->get<double>();
  if (value->is_string()) seconds = seconds_of(value->get_ref<const std::string&>());
  if (!seconds || !std::isfinite(*seconds)) {
    return fail(ErrorCode::kInvalidArgument,
                "\"keep_alive\" must be a number of seconds or a time such as \"5m\"; -1 is as long as it may.",
                "keep_alive");
  }
  if (*seconds < 0 || *seconds > kLongestS) return KeepAlive{};
  return KeepAlive{std::chrono::duration_cast<Duration>(std::chrono::duration<double>(*seconds))};
}

}  // namespace

Error wrong_type(std::string_view name, std::string_view expected) {
  return {ErrorCode::kInvalidArgument, fmt::format("\"{}\" must be {}.", name, expected), std::string(name)};
}

bool is_empty_text(const Json& value) { return value.is_string() && value.get_ref<const std::string&>().empty(); }

const Json* find_member(const Json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(name);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

Result<std::string> text_member(const Json& object, const char* name) {
  const Json* const value = find_member(object, name);
  if (value == nullptr) return std::string();
  if (!value->is_string()) return fail(wrong_type(name, "a text"));
  return value->get<std::string>();
}

Result<bool> flag_member(const Json& object, const char* name, bool otherwise) {
  const Json* const value = find_member(object, name);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) return fail(wrong_type(name, "true or false"));
  return value->get<bool>();
}

std::optional<Json> parse_foreign(std::string_view text) {
  // Bounded in depth, since copying and printing recurse.
  const auto shallow = [](int depth, Json::parse_event_t, const Json&) { return depth <= kMaxDepth; };
  Json json = Json::parse(text, shallow, /*allow_exceptions=*/false);
  if (json.is_discarded()) return std::nullopt;
  return json;
}

std::optional<double> part_that_fits(std::string_view answer) {
  const std::optional<Json> json = parse_foreign(answer);
  const Json* const error = json ? find_member(*json, "error") : nullptr;
  if (error == nullptr || !error->is_object()) return std::nullopt;
  const auto number = [&](const char* name) {
    const Json* const value = find_member(*error, name);
    return value != nullptr && value->is_number() ? value->get<double>() : 0;
  };
  double tokens = number("n_prompt_tokens");
  double room = number("n_ctx");
  const Json* const message = find_member(*error, "message");
  if ((tokens <= 0 || room <= 0) && message != nullptr && message->is_string()) {
    // llama.cpp reports an input that is too large for one batch only in the text of the error, without members.
    int batch_tokens = 0;
    int batch = 0;
    const std::string& text = message->get_ref<const std::string&>();
    const std::size_t at = text.find("current batch size: ");
    if (at == std::string::npos || std::sscanf(text.c_str(), "input (%9d tokens) is too large", &batch_tokens) != 1 ||
        std::sscanf(text.c_str() + at, "current batch size: %9d", &batch) != 1) {
      return std::nullopt;
    }
    tokens = batch_tokens;
    room = batch;
  }
  if (!(tokens > 0) || !(room > 0) || !std::isfinite(tokens) || !std::isfinite(room)) return std::nullopt;
  return std::min(room / tokens, 1.0);
}

std::optional<Error> over_limits(std::string_view engine_body) {
  api::RoutingScan scan;
  scan.feed(engine_body);
  const Result<api::Routing> routing = scan.finish();
  return routing ? std::nullopt : std::optional(routing.error());
}

Result<Request> parse_request(std::string_view body) {
  if (auto refused = over_limits(body)) return fail(*std::move(refused));
  Request request;
  request.body = Json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!request.body.is_object())
    return fail(ErrorCode::kInvalidArgument, "The request's body is no valid JSON object.");
  Result<std::string> model = text_member(request.body, "model");
  // The older name of the member; some clients send only that one.
  if (model && model->empty()) model = text_member(request.body, "name");
  if (!model) return fail(model.error());
  request.model = *std::move(model);
  const Result<bool> stream = flag_member(request.body, "stream", true);
  const Result<bool> truncate = flag_member(request.body, "truncate", true);
  for (const Result<bool>* flag : {&stream, &truncate}) {
    if (!*flag) return fail(flag->error());
  }
  request.stream = *stream;
  request.truncate = *truncate;
  const Result<std::optional<KeepAlive>> keep_alive = keep_alive_of(request.body);
  if (!keep_alive) return fail(keep_alive.error());
  request.keep_alive = *keep_alive;
  return request;
}

}  // namespace minerva::ollama
