// What llama-swap answers, as JSON.
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

// What llama-swap calls it: "ready", "starting", "stopping", "stopped". A parked model is "stopped": a request has to
// wake it first.
std::string_view state_name(Residency residency);

// One model of GET /running.
struct Running {
  ModelId model;
  Residency state = Residency::kCold;
  std::string command;  // empty: the engine that comes with Minerva
  Duration ttl{};       // idle for so long it leaves; 0: never
};
// Those that are "stopped" are left out.
std::string running_json(const std::vector<Running>& models);

// That POST /api/models/unload succeeded.
std::string unloaded_json();

}  // namespace minerva::llama_swap
