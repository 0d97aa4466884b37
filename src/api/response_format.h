// Turns a response_format of other servers into llama.cpp's. huggingface_hub sends a schema as "value", which
// text-generation-inference reads: {"type":"json_object","value":{...}}. llama.cpp would ignore that schema and allow
// any object.
//
// Pure; any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace minerva::api {

// The body with such a response_format replaced, and everything else unchanged. Nothing if it has none, or is no JSON.
std::optional<std::string> mend_response_format(std::string_view body);

}  // namespace minerva::api
