// Translates the refusals of llama.cpp's server into Minerva's terms. The engine's messages name flags that a user of
// Minerva does not set, and exceptions. Some have the status of a server's fault although the same request will always
// fail. After the translation a 5xx is only what may succeed when the client tries again.
//
// Pure; any thread. Made for llama.cpp v0.5.0.
#pragma once

#include <optional>
#include <string_view>

#include "minerva/base/error.h"

namespace minerva::api {

// What the engine's `message` means, with the code that gives its status; nothing if the message can stay as it is.
std::optional<Error> in_own_words(std::string_view message);

}  // namespace minerva::api
