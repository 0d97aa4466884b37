// Values as TOML writes them.
//
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>

#include "api/json.h"

namespace minerva {

std::string toml_string(std::string_view text);
// In one line; a table as an inline one. Requires: there is no null in it.
std::string toml_value(const api::Json& json);

}  // namespace minerva
