// The JSON library as this project uses it: to write answers, and to read the answers of engines. Plain functions; any
// thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace minerva::api {

// Ordered, so that the members of an answer come in the order of the documentation.
using Json = nlohmann::ordered_json;

// On one line. Bytes that are no UTF-8 are replaced.
inline std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// The member `key` of `object` if it is a whole number. Requires: `object` is an object.
inline std::optional<std::uint64_t> count_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

// "2023-11-14T22:13:20.042Z".
std::string utc(std::chrono::system_clock::time_point time);

}  // namespace minerva::api
