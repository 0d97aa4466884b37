// Finds a member of a JSON object that an engine or its agent printed.
//
// A plain function; any thread.
#pragma once

#include <nlohmann/json.hpp>

namespace minerva {

// nullptr if `object` is no object, or has no such member.
inline const nlohmann::json* member(const nlohmann::json& object, const char* name) {
  if (!object.is_object()) return nullptr;
  const auto it = object.find(name);
  return it == object.end() ? nullptr : &*it;
}

}  // namespace minerva
