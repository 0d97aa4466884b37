// Decisions as JSON, for GET /v1/decisions and the events.
//
// Plain functions over plain values; any thread.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "minerva/context/decision.h"

namespace minerva::api {

struct DecisionAnswer {
  Decision decision;
  std::chrono::system_clock::time_point time;  // of it
};
std::string decision_json(const DecisionAnswer& decision);
std::string decisions_json(const std::vector<DecisionAnswer>& decisions);

}  // namespace minerva::api
