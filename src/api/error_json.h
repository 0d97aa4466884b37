// Errors as OpenAI's clients read them: {"error":{"message","type","param","code"}}.
//
// Plain functions; any thread. error_info() has our statuses; an engine's is kept where it fits.
#pragma once

#include <string>
#include <string_view>

#include "minerva/base/error.h"

namespace minerva::api {

// The body of an error answer. Bytes that are no UTF-8 are replaced.
std::string error_body(const Error& error);

struct EngineError {
  int status = 0;
  std::string body;
};

// The error body for an engine's answer with `status` (not a 2xx), whatever its shape. An object of llama.cpp keeps its
// message and its extra fields, and gets a `code` by name and a `param`. Plain text becomes the message. An empty body
// gets a message by its status. Messages that engine_words.h knows are put in Minerva's terms, with the status that
// fits.
EngineError normalize_engine_error(int status, std::string_view body);

// The reverse, for clients of Minerva: the Error that an answer with `status` (not a 2xx) and `body` means. The code is
// found by its name, else by the status. The message is never empty.
Error error_from_answer(int status, std::string_view body);

}  // namespace minerva::api
