// How a report looks, to people and to programs. Threading: pure functions.
#pragma once

#include <string>

#include "cachesim/experiment.h"

namespace minerva::cachesim {

// A table for each capacity.
std::string to_text(const Report& report);
// One object, indented; what a row does not have is absent.
std::string to_json(const Report& report);

}  // namespace minerva::cachesim
