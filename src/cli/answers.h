// The server's JSON answers, read with care: a field that is missing or of another type reads as its default.
//
// Plain functions; any thread.
#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "minerva/base/result.h"

namespace minerva::cli {

// Errors: kIo when `text` is not a JSON object ("is this a Minerva server?").
Result<nlohmann::json> parse_answer(const std::string& text);

// The Error an answer with `status` (not a 2xx) stands for. That the server refused is a failure, not wrong usage of
// this program, so a kInvalidArgument of its becomes a kConflict, for the exit code.
Error server_error(int status, std::string_view body);

std::string text_of(const nlohmann::json& object, const char* field);
// Clamped to 0 ... 1e18, so that it can be made an integer.
double number_of(const nlohmann::json& object, const char* field);
bool flag_of(const nlohmann::json& object, const char* field);
// An array of objects or strings; empty if it is none.
const nlohmann::json& list_of(const nlohmann::json& object, const char* field);
// A member object; empty if it is none.
const nlohmann::json& object_of(const nlohmann::json& object, const char* field);
// "a, b, c" of an array of strings.
std::string joined(const nlohmann::json& list);
// The ids of those that are parked, or about to be, of what GET /v1/models/stats answered.
nlohmann::json parked_models(const nlohmann::json& stats);
// "context 5120 instead of 8192" of the settings of a model that gave way; empty if none did.
std::string gave_way_text(const nlohmann::json& model);
// "300 MiB" of a number of MiB.
std::string format_mib(double mib);

}  // namespace minerva::cli
