// The seed of a model's conversations: a hash of everything that gives a state its meaning, so that a state is never
// read under another model file, engine or setting.
//
// Threading: any; files_digest() blocks.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/result.h"

namespace minerva::conversations {

inline constexpr std::size_t kSeedDigits = 32;  // of 0-9a-f

// A hash of what the files hold, by their sizes, their beginnings and samples of the rest: a file that was overwritten
// in place differs even if its size and time are those of the file before.
// Errors: kIo: a file cannot be read.
Result<std::string> files_digest(const std::vector<std::string>& files);

// `meaning`: the files' identities, the engine's build and the arguments, in any form.
std::string seed_of(std::string_view meaning, std::string_view files_digest);

}  // namespace minerva::conversations
