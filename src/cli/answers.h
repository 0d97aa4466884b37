// Reads the server's JSON answers with care: a field that is missing or has another type reads as its default.
//
// Plain functions; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "minerva/base/result.h"

namespace minerva::cli {

// Errors: kIo when `text` is not a JSON object ("is this a Minerva server?").
Result<nlohmann::json> parse_answer(const std::string& text);

// The Error that an answer with `status` (not a 2xx) means. A kInvalidArgument of the server becomes a kConflict: the
// server's refusal must not have the exit code of a wrong command line.
Error server_error(int status, std::string_view body);

std::string text_of(const nlohmann::json& object, const char* field);
// The number, limited to 0 ... 1e18, so that it can become an integer.
double number_of(const nlohmann::json& object, const char* field);
bool flag_of(const nlohmann::json& object, const char* field);
// The member if it is an array, else an empty array. Its elements are objects or strings.
const nlohmann::json& list_of(const nlohmann::json& object, const char* field);
// The member if it is an object, else an empty object.
const nlohmann::json& object_of(const nlohmann::json& object, const char* field);
// "a, b, c" for an array of strings.
std::string joined(const nlohmann::json& list);
// The ids of the models that are parked, or about to be. `stats`: the answer of GET /v1/models/stats.
nlohmann::json parked_models(const nlohmann::json& stats);
// "context 5120 instead of 8192" for the settings of a model that gave way; empty if none did.
std::string gave_way_text(const nlohmann::json& model);
// "100 MiB host, 2000 MiB gpu0": what a model holds of each pool; empty on a machine without devices.
std::string pools_text(const nlohmann::json& model);
// "300 MiB" for 300.
std::string format_mib(double mib);

}  // namespace minerva::cli
