// The answers of GET /v1/requests and GET /v1/samples, as JSON.
//
// Plain functions over plain values; any thread. No field holds a prompt or an answer.
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
  std::string id;                          // the x-request-id of its answer
  ModelId model;                           // empty: not known yet
  std::string path;                        // as the client wrote it
  std::optional<std::string> caller = {};  // the caller's name, for people
  bool stream = false;
  WallTime began = {};
};

struct InFlightAnswer {
  RequestFacts request;
  std::string_view phase;            // "receiving", "waiting", "loading", "waking", "reading" or "generating"
  std::optional<double> fraction;    // how far the loading or reading is, 0 to 1
  std::optional<std::size_t> place;  // its place among the waiters of its model: 1 is the first
  TokenCounts tokens;
  Duration in_phase{};
  Duration in_all{};
};

struct EndedAnswer {
  RequestFacts request;
  int status = 0;
  Duration waited{};  // from the request's arrival until it had a lease
  Duration took{};
  std::optional<Duration> first_byte;  // from the request's arrival until the first byte of the answer's body
  TokenCounts tokens;
};

// A model at one moment.
struct ModelSample {
  ModelId id;
  Residency state = Residency::kCold;
  Bytes memory;
  double tokens_per_second = 0;
};
struct Sample {
  WallTime time = {};
  Bytes budget;
  Bytes used;                   // the part of the budget that is reserved
  std::optional<Bytes> others;  // memory that other programs hold, without page cache
  std::size_t waiting = 0;      // requests that wait
  std::size_t running = 0;
  std::vector<ModelSample> models;  // the resident models
};

// "completed", "failed", "shed" or "cancelled".
std::string_view outcome_name(int status);

// `recent`: the latest request first.
std::string requests_json(const std::vector<InFlightAnswer>& in_flight, const std::vector<EndedAnswer>& recent);
std::string cancelled_json(std::string_view id);

// The samples taken after `since` (seconds since 1970). `samples`: the oldest first.
std::string samples_json(const std::deque<Sample>& samples, double since, Duration interval, WallTime now);

}  // namespace minerva::api
