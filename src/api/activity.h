// What GET /v1/requests and GET /v1/samples answer, as JSON.
//
// Plain functions over plain values; any thread. There is no field for what a request asked or was answered.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/token_counts.h"
#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/context/types.h"

namespace minerva::api {

using WallTime = std::chrono::system_clock::time_point;

// What is known of a request from its beginning on.
struct RequestFacts {
  std::string id;                          // its answer's x-request-id
  ModelId model;                           // empty: not known yet
  std::string path;                        // as the client wrote it
  std::optional<std::string> caller = {};  // the name of its key
  bool stream = false;
  WallTime began = {};
};

struct InFlightAnswer {
  RequestFacts request;
  std::string_view phase;            // "receiving", "waiting", "loading", "waking", "reading" or "generating"
  std::optional<double> fraction;    // of loading or reading, 0 to 1
  std::optional<std::size_t> place;  // among those that wait for its model: 1 is the first
  TokenCounts tokens;
  Duration in_phase{};
  Duration in_all{};
};

struct EndedAnswer {
  RequestFacts request;
  int status = 0;
  Duration waited{};  // until it had its model
  Duration took{};
  std::optional<Duration> first_byte;  // until the first byte of the answer's body
  TokenCounts tokens;
};

// "completed", "failed", "shed" or "cancelled".
std::string_view outcome_name(int status);

// `recent`: the latest first.
std::string requests_json(const std::vector<InFlightAnswer>& in_flight, const std::vector<EndedAnswer>& recent);
std::string cancelled_json(std::string_view id);

}  // namespace minerva::api
