// The answers and bodies of llama.cpp's router API, as JSON.
//
// Plain functions over plain values; any thread.
#pragma once

#include <string>
#include <string_view>

#include "minerva/base/result.h"

namespace minerva::router_api {

// What GET /props without a model says about the router itself.
struct RouterProps {
  std::size_t max_models = 0;  // 0: bounded by memory only
  std::string version;         // of this program
};
std::string props_json(const RouterProps& props);

// Reads the body of POST /models/load or /models/unload. Errors: kInvalidArgument with the field at fault.
Result<std::string> parse_model_body(std::string_view body);

// The answer of these two routes when they succeeded.
std::string success_json();

}  // namespace minerva::router_api
