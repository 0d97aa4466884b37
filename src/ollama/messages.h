// Ollama's messages as OpenAI's, which llama.cpp's server takes.
//
// Pure; any thread.
#pragma once

#include <optional>

#include "ollama/request.h"

namespace minerva::ollama {

// A list of messages: tool calls get the ids that Ollama's need not have, their arguments become text, images become
// parts of the content. Errors: kInvalidArgument, with the place at fault.
Result<Json> openai_messages(const Json& messages);

// What a message with `images` (a list of base64 texts, or nullptr) has as its content. `place`: for errors.
// Errors: kInvalidArgument.
Result<Json> content_of(const std::string& text, const Json* images, std::string_view place);

// "data:image/png;base64,..." by what the image begins with. It is never anything but a data URL.
std::string image_url(std::string_view base64);

// `messages` (OpenAI's) without so many of the oldest turns that about `part` of them is left (0 to 1), at least one. A
// turn is what a user says and all that follows. System messages stay, and so does the last turn.
// Nothing if there is none to leave out.
std::optional<Json> without_oldest(const Json& messages, double part);

std::size_t turns(const Json& messages);

// OpenAI's tool calls, complete, as Ollama's: their arguments are objects. Calls whose arguments are cut off are left
// out.
Json ollama_tool_calls(const Json& calls);

}  // namespace minerva::ollama
