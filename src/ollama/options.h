// Turns Ollama's `options`, `format` and `think` into llama.cpp's fields.
//
// Pure; any thread. The engine and api/field_limits.h judge the values.
#pragma once

#include <optional>

#include "ollama/request.h"

namespace minerva::ollama {

// Adds the "options" of `request` to `engine`. Options about how a model is loaded (num_ctx, num_gpu, ...) belong to
// the config: they are skipped, and so are unknown ones; none of them ever loads a model anew. llama.cpp's own names of
// sampling parameters are accepted too. `context`: tokens per conversation, for an option that means the whole context;
// 0: not known.
// Errors: kInvalidArgument with the option's name.
std::optional<Error> add_options(const Json& request, unsigned context, Json& engine);

// The schema in the "format" of `request`: null if there is none, an empty object for any JSON.
// Errors: kInvalidArgument.
Result<Json> schema_of(const Json& request);

// Adds the "think" of `request`, which is a flag or a level. Errors: kInvalidArgument.
std::optional<Error> add_thinking(const Json& request, Json& engine);

}  // namespace minerva::ollama
