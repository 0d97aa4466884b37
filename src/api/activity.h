// The answers of GET /v1/requests and GET /v1/samples, as JSON.
//
// Plain functions over plain values; any thread. There is no field for what a request asked or was answered.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
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

// The facts of a request that are known from its beginning on.
struct RequestFacts {
  std::string id;                          // its answer's x-request-id
  ModelId model;                           // empty: not known yet
  std::string path;                        // as the client wrote it
  std::optional<std::string> caller = {};  // what people call who asks
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

// How it was at one moment.
struct ModelSample {
  ModelId id;
  Residency state = Residency::kCold;
  Bytes memory;
  double tokens_per_second = 0;
};
struct Sample {
  WallTime time = {};
  Bytes budget;
  Bytes used;                   // of it
  std::optional<Bytes> others;  // by other programs, outside of page cache
  std::size_t waiting = 0;      // requests
  std::size_t running = 0;
  std::vector<ModelSample> models;  // resident ones
};

// "completed", "failed", "shed" or "cancelled".
std::string_view outcome_name(int status);

// `recent`: the latest first.
std::string requests_json(const std::vector<InFlightAnswer>& in_flight, const std::vector<EndedAnswer>& recent);
std::string cancelled_json(std::string_view id);

// Those after `since` (seconds since 1970). `samples`: the oldest first.
std::string samples_json(const std::deque<Sample>& samples, double since, Duration interval, WallTime now);

}  // namespace minerva::api
