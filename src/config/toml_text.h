// Writes values as TOML.
//
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "api/json.h"

namespace minerva {

std::string toml_string(std::string_view text);
// On one line; a table becomes an inline table. Requires: the value holds no null.
std::string toml_value(const api::Json& json);

}  // namespace minerva
