#include "ollama/answer.h"

#include <algorithm>
#include <cmath>

#include "ollama/request.h"

namespace minerva::ollama {
namespace {

constexpr double kMostMs = 1e12;  // the same in nanoseconds still fits

void take_count(const Json& object, const char* name, std::uint64_t& count) {
  const Json* const value = find_member(object, name);
  if (value == nullptr || !value->is_number_integer()) return;
  if (value->is_number_unsigned() || value->get<std::int64_t>() >= 0) count = value->get<std::uint64_t>();
}

void take_ms(const Json& object, const char* name, double& ms) {
  const Json* const value = find_member(object, name);
  if (value == nullptr || !value->is_number()) return;
  const auto number = value->get<double>();
  if (std::isfinite(number)) ms = std::clamp(number, 0.0, kMostMs);
}

std::int64_t ns(double ms) { return static_cast<std::int64_t>(ms * 1e6); }

}  // namespace

Failure not_understood(std::string_view what) {
  return fail(ErrorCode::kEngineCrashed, "The engine's answer was not understood: " + std::string(what) + ".");
}

void note_work(const api::Json& answer, Work& work) {
  if (const Json* timings = find_member(answer, "timings")) {
    std::uint64_t cached = 0;
    std::uint64_t processed = 0;
    take_count(*timings, "cache_n", cached);
    take_count(*timings, "prompt_n", processed);
    // Foreign numbers may be beyond all counts.
    work.prompt_tokens = cached > UINT64_MAX - processed ? UINT64_MAX : cached + processed;
    take_count(*timings, "predicted_n", work.tokens);
    take_ms(*timings, "prompt_ms", work.prompt_ms);
    take_ms(*timings, "predicted_ms", work.generation_ms);
  }
  if (const Json* usage = find_member(answer, "usage")) {
    take_count(*usage, "prompt_tokens", work.prompt_tokens);
    take_count(*usage, "completion_tokens", work.tokens);
  }
}

api::Json answer_head(const Answer& answer) {
  return {{"model", answer.model}, {"created_at", api::utc(answer.now().wall)}};
}

void add_work(const Answer& answer, const Work& work, bool generates, api::Json& to) {
  const Moment now = answer.now();
  const auto nanoseconds = [](Duration time) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(time).count();
  };
  to["total_duration"] = nanoseconds(now.steady - answer.arrived);
  to["load_duration"] = nanoseconds(now.waited);
  to["prompt_eval_count"] = work.prompt_tokens;
  if (!generates) return;
  to["prompt_eval_duration"] = ns(work.prompt_ms);
  to["eval_count"] = work.tokens;
  to["eval_duration"] = ns(work.generation_ms);
}

}  // namespace minerva::ollama
