#include "api/response_format.h"

#include <vector>

#include "api/json_text.h"
#include "api/routing_scan.h"

namespace minerva::api {
namespace {

// The same value with its schema in the place where the engine looks for it. Nothing if it is not of that kind.
std::optional<std::string> mended(std::string_view format) {
  JsonReader reader(format);
  if (!reader.take('{')) return std::nullopt;
  bool of_json = false;
  std::string_view schema;
  while (true) {
    const auto name = reader.value();
    if (!name || !reader.take(':')) return std::nullopt;
    const auto value = reader.value();
    if (!value) return std::nullopt;
    // The schema is already where the engine looks for it.
    if (means(*name, "schema") || means(*name, "json_schema")) return std::nullopt;
    if (means(*name, "type")) of_json = means(*value, "json_object") || means(*value, "json");
    if (means(*name, "value")) schema = *value;
    if (reader.take('}')) break;
    if (!reader.take(',')) return std::nullopt;
  }
  if (!of_json || !schema.starts_with('{')) return std::nullopt;
  return R"({"type":"json_object","schema":)" + std::string(schema) + "}";
}

}  // namespace

std::optional<std::string> mend_response_format(std::string_view body) {
  RoutingScan scan(/*note_members=*/true);
  scan.feed(body);
  if (!scan.complete() || scan.failed()) return std::nullopt;
  // If there are several, the last one counts.
  const std::vector<MemberSpan>& members = *scan.members();
  for (auto member = members.rbegin(); member != members.rend(); ++member) {
    JsonReader reader(body, member->key);
    const auto name = reader.value();
    if (!name || !means(*name, "response_format")) continue;
    const auto better = mended(body.substr(member->value, member->end - member->value));
    if (!better) return std::nullopt;
    return std::string(body.substr(0, member->value)) + *better + std::string(body.substr(member->end));
  }
  return std::nullopt;
}

}  // namespace minerva::api
