// The identifiers of models, engines, requests and users.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace minerva {

// As users write it: [A-Za-z0-9][A-Za-z0-9._:@/-]{0,199}, no ".." segment. See is_model_id.
using ModelId = std::string;

// One per accepted call (inference, load, unload), chosen by the caller of the core, never reused.
enum class RequestId : std::uint64_t {};

// One per engine process ever started: an event of a dead engine cannot be mistaken for its successor's.
enum class EngineId : std::uint64_t {};

// Whoever asks, as far as requests can be told apart: by their API key. 0: unknown.
enum class UserId : std::uint64_t {};

// A word that routes have in an id's place: load, unload, sse, stats.
bool is_reserved_id(std::string_view text);
bool is_model_id(std::string_view text);

}  // namespace minerva
