// The arguments a model's entry may hand to its engine, and the files they name.
//
// Every argument of llama.cpp's server is in one of two tables: those a user may set, with the number of their values
// and whether these are files, and those that belong to Minerva, with what to use instead. What is in neither is
// refused: nobody has looked at it. A test holds the tables against the engine's own list.
// Pure: whether a file is there, and may be used, is the caller's business.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "minerva/base/result.h"

namespace minerva {

// Whether `args` may be passed on: known to the engine as written, each with all its values, and the user's to set.
// Errors: kInvalidArgument, naming the argument and what to use instead.
Result<void> check_user_arguments(const std::vector<std::string>& args);

// Says where a file named by an argument is, or why it may not be used.
using PlaceFile = std::function<Result<std::string>(const std::string& file)>;

struct PlacedArguments {
  std::vector<std::string> args;
  std::vector<std::string> files;  // all that `args` name
};
// `args` with every file they name put where `place` says. Requires: check_user_arguments(args).
// Errors: those of `place`, after the argument's name; kInvalidArgument for a place that cannot be written into a list.
Result<PlacedArguments> place_argument_files(const std::vector<std::string>& args, const PlaceFile& place);

}  // namespace minerva
