// Turns Ollama's messages into OpenAI's, which llama.cpp's server takes.
//
// Pure; any thread.
#pragma once

#include <optional>

#include "ollama/request.h"

namespace minerva::ollama {

// Translates a list of messages. Tool calls get ids, which Ollama's may lack, and their arguments become text. Images
// become parts of the content. Errors: kInvalidArgument, with the place at fault.
Result<Json> openai_messages(const Json& messages);

// The content of a message with `images` (a list of base64 texts, or nullptr). `place`: for errors.
// Errors: kInvalidArgument.
Result<Json> content_of(const std::string& text, const Json* images, std::string_view place);

// "data:image/png;base64,...", with the type that the first bytes of the image show. It never is anything but a data
// URL.
std::string image_url(std::string_view base64);

// `messages` (in OpenAI's form) without the oldest turns, so that about `part` of them is left (0 to 1). At least one
// turn is left out. A turn is a user's message and everything that follows it. System messages stay, and so does the
// last turn. Nothing if there is no turn to leave out.
std::optional<Json> without_oldest(const Json& messages, double part);

std::size_t turns(const Json& messages);

// OpenAI's complete tool calls in Ollama's form, where arguments are objects. A call whose arguments are cut off is
// left out.
Json ollama_tool_calls(const Json& calls);

}  // namespace minerva::ollama
