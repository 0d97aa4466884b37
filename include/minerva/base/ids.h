// The identifiers of models, engines, requests and users.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace minerva {

// As users write it: [A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}, no ".." segment. See is_model_id.
using ModelId = std::string;

// One per accepted call (inference, load, unload). The caller of the core chooses it and never uses it again.
enum class RequestId : std::uint64_t {};

// One per engine process ever started, so that an event of a dead engine cannot be mistaken for one of its successor.
enum class EngineId : std::uint64_t {};

// The user behind a request, as far as users can be told apart: by their API keys. 0: unknown.
enum class UserId : std::uint64_t {};

// Whether `text` is a word that routes have in the place of an id: load, unload, sse, stats.
bool is_reserved_id(std::string_view text);
bool is_model_id(std::string_view text);

}  // namespace minerva
