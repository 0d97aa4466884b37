// Writes a report for people and for programs. Threading: pure functions.
#pragma once

#include <string>

#include "cachesim/experiment.h"

namespace minerva::cachesim {

// A table for each capacity.
std::string to_text(const Report& report);
// One indented object. A row lacks the members that it has no value for.
std::string to_json(const Report& report);

}  // namespace minerva::cachesim
