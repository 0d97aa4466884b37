// Errors as OpenAI's clients read them: {"error":{"message","type","param","code"}}.
//
// Plain functions; any thread. error_info() has our statuses; an engine's is kept where it fits.
#pragma once

#include <string>
#include <string_view>

#include "minerva/base/error.h"

namespace minerva::api {

// The body of an error answer. Bytes of `error` that are no UTF-8 are replaced.
std::string error_body(const Error& error);

struct EngineError {
  int status = 0;
  std::string body;
};

// What an engine answered with `status` (not a 2xx), whatever its shape, as an error body: llama.cpp's objects keep
// their message and extra fields, get a `code` by name and a `param`; text becomes the message; an empty body is
// described by its status. What engine_words.h knows is said in Minerva's terms, with the status that goes with it.
EngineError normalize_engine_error(int status, std::string_view body);

// The way back, for clients of Minerva: the Error an answer with `status` (not a 2xx) and `body` stands for. The code
// is found by its name, else by the status; the message is never empty.
Error error_from_answer(int status, std::string_view body);

}  // namespace minerva::api
