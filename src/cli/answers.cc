#include "cli/answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "api/error_json.h"
#include "base/concession.h"
#include "cli/terminal.h"
#include "minerva/base/bytes.h"

namespace minerva::cli {
namespace {

using Json = nlohmann::json;

const Json& member(const Json& object, const char* field) {
  static const Json null;
  if (!object.is_object()) return null;
  const auto found = object.find(field);
  return found == object.end() ? null : *found;
}

}  // namespace

Result<Json> parse_answer(const std::string& text) {
  Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return fail(ErrorCode::kIo, "the answer makes no sense; is this a Minerva server?");
  return json;
}

Error server_error(int status, std::string_view body) {
  Error error = api::error_from_answer(status, body);
  if (error.code == ErrorCode::kInvalidArgument) error.code = ErrorCode::kConflict;
  if (error.code == ErrorCode::kUnreachable) error.code = ErrorCode::kIo;  // a hub is: the server has answered
  return error;
}

std::string gave_way_text(const Json& model) {
  const auto value = [](const Json& setting, const char* field) -> Concession::Value {
    const Json& is = member(setting, field);
    if (is.is_string()) return std::string_view(is.get_ref<const std::string&>());
    return static_cast<std::uint64_t>(number_of(setting, field));
  };
  std::vector<Concession> list;
  for (const Json& setting : list_of(model, "gave_way")) {
    const Json& name = member(setting, "setting");
    if (!name.is_string()) continue;
    list.push_back({name.get_ref<const std::string&>(), value(setting, "from"), value(setting, "to")});
  }
  return concessions_text(list);
}

std::string text_of(const Json& object, const char* field) {
  const Json& value = member(object, field);
  return value.is_string() ? value.get<std::string>() : std::string();
}

double number_of(const Json& object, const char* field) {
  const Json& value = member(object, field);
  constexpr double kMost = 1e18;
  return value.is_number() ? std::clamp(value.get<double>(), 0.0, kMost) : 0.0;
}

bool flag_of(const Json& object, const char* field) { return member(object, field) == true; }

const Json& list_of(const Json& object, const char* field) {
  static const Json empty = Json::array();
  const Json& value = member(object, field);
  return value.is_array() ? value : empty;
}

const Json& object_of(const Json& object, const char* field) {
  static const Json empty = Json::object();
  const Json& value = member(object, field);
  return value.is_object() ? value : empty;
}

std::string joined(const Json& list) {
  std::string result;
  for (const Json& item : list) {
    if (!item.is_string()) continue;
    if (!result.empty()) result += ", ";
    result += item.get<std::string>();
  }
  return result;
}

Json parked_models(const Json& stats) {
  Json ids = Json::array();
  for (const Json& model : list_of(stats, "models")) {
    const std::string state = text_of(model, "state");
    if (state == "parked" || state == "parking") ids.push_back(text_of(model, "id"));
  }
  return ids;
}

std::string pools_text(const nlohmann::json& model) {
  const nlohmann::json& pools = object_of(model, "pools_mb");
  std::string text;
  for (const auto& [pool, held] : pools.items()) {
    const double mib = number_of(pools, pool.c_str());
    if (mib > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", format_mib(mib), printable(pool));
  }
  return text;
}

std::string format_mib(double mib) {
  constexpr double kMost = 1e12;  // beyond any memory, and within what Bytes can hold
  return format_bytes(Bytes::mib(static_cast<std::uint64_t>(std::clamp(mib, 0.0, kMost))));
}

}  // namespace minerva::cli
