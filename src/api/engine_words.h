// What llama.cpp's server says when it refuses a request, put in Minerva's terms: its sentences name flags that a user
// of Minerva does not set and exceptions that he did not throw, and some have the status of a fault of the server
// although sending them again is of no use. A 5xx is only what may go better when it is tried again.
//
// Pure; any thread. Of llama.cpp v0.5.0.
#pragma once

#include <optional>
#include <string_view>

#include "minerva/base/error.h"

namespace minerva::api {

// What the engine's `message` means, with its status by the code; nothing for one that can stay as it is.
std::optional<Error> in_own_words(std::string_view message);

}  // namespace minerva::api
