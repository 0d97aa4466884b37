// Ollama's `options`, `format` and `think` as what llama.cpp's server calls them.
//
// Pure; any thread. Whether a value is sane is for the engine to say, and for api/field_limits.h.
#pragma once

#include <optional>

#include "ollama/request.h"

namespace minerva::ollama {

// Adds what `request` has as "options" to `engine`. What concerns how a model is loaded (num_ctx, num_gpu, ...) and
// what is not known is passed over: it is the config's, and never a reason to load anew. llama.cpp's own names of
// sampling parameters are taken too. `context`: tokens per conversation, for "as far back as it goes"; 0: not known.
// Errors: kInvalidArgument naming the option.
std::optional<Error> add_options(const Json& request, unsigned context, Json& engine);

// The schema that `request` has as "format": nullptr for none, an empty object for any JSON.
// Errors: kInvalidArgument.
Result<Json> schema_of(const Json& request);

// Adds what `request` has as "think": a flag, or how hard. Errors: kInvalidArgument.
std::optional<Error> add_thinking(const Json& request, Json& engine);

}  // namespace minerva::ollama
