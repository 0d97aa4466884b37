// Answer: what all answers of Ollama's API have in common: the model, and the times.
//
// Plain values; any thread. The clock is handed in.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <string_view>

#include "api/json.h"
#include "minerva/base/clock.h"
#include "minerva/base/result.h"

namespace minerva::ollama {

struct Moment {
  TimePoint steady;
  std::chrono::system_clock::time_point wall;
  Duration waited{};  // until the request had its model, in line or while it was loaded
};

struct Answer {
  std::string model;  // the name in the request
  TimePoint arrived;  // when the request came
  std::function<Moment()> now;
};

// The error for an engine's answer that is not as expected. `what`: "it broke off".
Failure not_understood(std::string_view what);

// How much an engine has done for an answer, as far as the engine says it.
struct Work {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t tokens = 0;  // generated
  double prompt_ms = 0;
  double generation_ms = 0;
};
// Adds the "timings" and "usage" of an engine's answer, or of a piece of one.
void note_work(const api::Json& answer, Work& work);

// {"model":...,"created_at":...}
api::Json answer_head(const Answer& answer);
// Adds the times, in nanoseconds, and the counts. Waiting for the model is reported as loading. `generates`: false for
// embeddings, which have only the count of the prompt.
void add_work(const Answer& answer, const Work& work, bool generates, api::Json& to);

}  // namespace minerva::ollama
