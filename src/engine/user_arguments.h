// The arguments that a model's entry may pass to its engine, and the files in them.
//
// Every argument of llama.cpp's server is in one of two tables. One has those that a user may set, with the number of
// their values, and whether these are files. The other has those that belong to Minerva, with what to use instead. An
// argument in neither is refused, since nobody has looked at it. A test compares the tables with the engine's own list.
// Pure: the caller finds out whether a file exists and may be used.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "minerva/base/result.h"

namespace minerva {

// Whether `args` may be passed on: the engine knows them as they are written, each has all its values, and a user may
// set them.
// Errors: kInvalidArgument with the argument, and what to use instead.
Result<void> check_user_arguments(const std::vector<std::string>& args);

// Returns where a file in an argument is, or why it may not be used.
using PlaceFile = std::function<Result<std::string>(const std::string& file)>;

struct PlacedArguments {
  std::vector<std::string> args;
  std::vector<std::string> files;  // all files in `args`
};
// `args` with each file in them replaced by what `place` returns. Requires: check_user_arguments(args).
// Errors: those of `place`, after the argument's name; kInvalidArgument for a path that cannot be written into a list.
Result<PlacedArguments> place_argument_files(const std::vector<std::string>& args, const PlaceFile& place);

}  // namespace minerva
