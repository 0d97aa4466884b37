// The answers of llama-swap's API, as JSON.
//
// Plain functions over plain values; any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/context/types.h"

namespace minerva::llama_swap {

// The state in llama-swap's words: "ready", "starting", "stopping", "stopped". A parked model is "stopped", since a
// request has to wake it first.
std::string_view state_name(Residency residency);

// One model of GET /running.
struct Running {
  ModelId model;
  Residency state = Residency::kCold;
  std::string command;  // empty: minerva-engine
  Duration ttl{};       // an idle model leaves after this time; 0: never
};
// Models that are "stopped" are left out.
std::string running_json(const std::vector<Running>& models);

// The answer of POST /api/models/unload when it succeeded.
std::string unloaded_json();

}  // namespace minerva::llama_swap
