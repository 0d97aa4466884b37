// Answer: what answers of Ollama's API have in common: whose they are, and the time they took.
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
};

struct Answer {
  std::string model;  // as the request names it
  TimePoint arrived;  // the request
  std::function<Moment()> now;
};

// For an engine's answer that is not as it should be. `what`: "it broke off".
Failure not_understood(std::string_view what);

// What an engine says of its work, as far as it does.
struct Work {
  std::uint64_t prompt_tokens = 0;
  std::uint64_t tokens = 0;  // generated
  double prompt_ms = 0;
  double generation_ms = 0;
};
// Takes what an engine's answer has as "timings" and "usage", also from a piece of one.
void note_work(const api::Json& answer, Work& work);

// {"model":...,"created_at":...}
api::Json answer_head(const Answer& answer);
// Adds the times, in nanoseconds, and the counts. What was neither spent on the prompt nor on the answer went into
// waiting for the model: that is called loading. `generates`: embeddings have no other counts than the prompt's.
void add_work(const Answer& answer, const Work& work, bool generates, api::Json& to);

}  // namespace minerva::ollama
