#include "api/decisions.h"

#include "api/json.h"

namespace minerva::api {
namespace {

Json candidate_object(const DecisionCandidate& candidate) {
  return {{"model", candidate.model},
          {"standing", candidate.standing},
          {"score", candidate.score},
          {"frees_mb", candidate.frees.rounded_mib()},
          {"leaves_by", candidate.stops ? "stop" : "park"},
          {"chosen", candidate.chosen}};
}

Json decision_object(const DecisionAnswer& answer) {
  const Decision& decision = answer.decision;
  Json json = {{"id", decision.id},
               {"time", utc(answer.time)},
               {"kind", decision_kind_name(decision.kind)},
               {"model", decision.model},
               {"reason", decision.reason},
               {"because_of", decision.because_of == 0 ? Json(nullptr) : Json(decision.because_of)}};
  if (decision.refusal) {
    json["code"] = error_info(*decision.refusal).name;
    json["times"] = decision.times;
  }
  if (!decision.candidates.empty()) {
    json["candidates"] = Json::array();
    for (const DecisionCandidate& candidate : decision.candidates) {
      json["candidates"].push_back(candidate_object(candidate));
    }
  }
  return json;
}

}  // namespace

std::string decision_json(const DecisionAnswer& decision) { return dump(decision_object(decision)); }

std::string decisions_json(const std::vector<DecisionAnswer>& decisions) {
  Json data = Json::array();
  for (const DecisionAnswer& decision : decisions) data.push_back(decision_object(decision));
  return dump(Json{{"object", "list"}, {"data", std::move(data)}});
}

}  // namespace minerva::api
