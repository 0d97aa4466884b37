// How answers are written as JSON.
#pragma once

#include <chrono>
#include <nlohmann/json.hpp>
#include <string>

namespace minerva::api {

// Ordered, so that answers read as the documentation shows them.
using Json = nlohmann::ordered_json;

// On one line; bytes that are no UTF-8 are replaced.
inline std::string dump(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

// "2023-11-14T22:13:20.042Z".
std::string utc(std::chrono::system_clock::time_point time);

}  // namespace minerva::api
