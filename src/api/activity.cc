#include "api/activity.h"

#include <cmath>

#include "api/json.h"

namespace minerva::api {
namespace {

template <typename T>
Json or_null(const std::optional<T>& value) {
  return value ? Json(*value) : Json(nullptr);
}

// Rounded to a millisecond.
double seconds(Duration span) { return std::round(std::chrono::duration<double>(span).count() * 1000) / 1000; }
double rounded(double value) { return std::round(value * 100) / 100; }

Json facts_object(const RequestFacts& facts) {
  return {{"id", facts.id},         {"model", facts.model},     {"path", facts.path}, {"caller", or_null(facts.caller)},
          {"stream", facts.stream}, {"began", utc(facts.began)}};
}

void add_tokens(Json& object, const TokenCounts& tokens) {
  object["prompt_tokens"] = or_null(tokens.prompt);
  object["cached_tokens"] = or_null(tokens.cached);
  object["generated_tokens"] = or_null(tokens.generated);
  object["tokens_per_second"] = tokens.per_second ? Json(rounded(*tokens.per_second)) : Json(nullptr);
}

Json in_flight_object(const InFlightAnswer& answer) {
  Json object = facts_object(answer.request);
  object["phase"] = answer.phase;
  object["fraction"] = answer.fraction ? Json(rounded(*answer.fraction)) : Json(nullptr);
  object["place"] = or_null(answer.place);
  add_tokens(object, answer.tokens);
  object["phase_seconds"] = seconds(answer.in_phase);
  object["seconds"] = seconds(answer.in_all);
  return object;
}

Json ended_object(const EndedAnswer& answer) {
  Json object = facts_object(answer.request);
  object["status"] = answer.status;
  object["outcome"] = outcome_name(answer.status);
  object["wait_seconds"] = seconds(answer.waited);
  object["seconds"] = seconds(answer.took);
  object["first_byte_seconds"] = answer.first_byte ? Json(seconds(*answer.first_byte)) : Json(nullptr);
  add_tokens(object, answer.tokens);
  return object;
}

double unix_seconds(WallTime time) { return seconds(time.time_since_epoch()); }

Json sample_object(const Sample& sample) {
  Json models = Json::object();
  double tokens_per_second = 0;
  for (const ModelSample& model : sample.models) {
    models[model.id] = {{"state", residency_name(model.state)},
                        {"bytes", model.memory.count()},
                        {"tokens_per_second", rounded(model.tokens_per_second)}};
    tokens_per_second += model.tokens_per_second;
  }
  return {{"time", std::chrono::floor<std::chrono::seconds>(sample.time).time_since_epoch().count()},
          {"budget_bytes", sample.budget.count()},
          {"used_bytes", sample.used.count()},
          {"others_bytes", sample.others ? Json(sample.others->count()) : Json(nullptr)},
          {"waiting", sample.waiting},
          {"running", sample.running},
          {"tokens_per_second", rounded(tokens_per_second)},
          {"models", std::move(models)}};
}

}  // namespace

std::string samples_json(const std::deque<Sample>& samples, double since, Duration interval, WallTime now) {
  Json answer = {{"interval_seconds", std::chrono::duration_cast<std::chrono::seconds>(interval).count()},
                 {"now", unix_seconds(now)},
                 {"samples", Json::array()}};
  for (const Sample& sample : samples) {
    // Answers have whole seconds, so `since` is compared with whole seconds.
    const auto time = std::chrono::floor<std::chrono::seconds>(sample.time).time_since_epoch().count();
    if (static_cast<double>(time) > since) answer["samples"].push_back(sample_object(sample));
  }
  return dump(answer);
}

std::string_view outcome_name(int status) {
  if (status == error_info(ErrorCode::kCancelled).http_status) return "cancelled";
  if (status == 429 || status == 503) return "shed";
  return status >= 200 && status < 400 ? "completed" : "failed";
}

std::string requests_json(const std::vector<InFlightAnswer>& in_flight, const std::vector<EndedAnswer>& recent) {
  Json answer = {{"in_flight", Json::array()}, {"recent", Json::array()}};
  for (const InFlightAnswer& request : in_flight) answer["in_flight"].push_back(in_flight_object(request));
  for (const EndedAnswer& request : recent) answer["recent"].push_back(ended_object(request));
  return dump(answer);
}

std::string cancelled_json(std::string_view id) { return dump(Json{{"id", id}, {"cancelled", true}}); }

}  // namespace minerva::api
