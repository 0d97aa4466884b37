// response_format as other servers take it, put as llama.cpp's does. huggingface_hub sends a schema as "value", for
// text-generation-inference: {"type":"json_object","value":{...}}; the engine would take it for any object.
//
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace minerva::api {

// The body with such a response_format mended, everything else as it came; nothing if it has none, or is no JSON.
std::optional<std::string> mend_response_format(std::string_view body);

}  // namespace minerva::api
