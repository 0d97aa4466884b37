#include "llama_swap/answers.h"

#include "api/json.h"

namespace minerva::llama_swap {
namespace {

constexpr std::string_view kStopped = "stopped";

}  // namespace

std::string_view state_name(Residency residency) {
  switch (residency) {
    case Residency::kHot:
      return "ready";
    case Residency::kPreparing:
    case Residency::kLoading:
    case Residency::kWaking:
      return "starting";
    case Residency::kStopping:
    case Residency::kParking:
      return "stopping";
    case Residency::kCold:
    case Residency::kParked:
    case Residency::kQuarantined:
      return kStopped;
  }
  return kStopped;
}

std::string running_json(const std::vector<Running>& models) {
  api::Json running = api::Json::array();
  for (const Running& model : models) {
    const std::string_view state = state_name(model.state);
    if (state == kStopped) continue;
    running.push_back({{"model", model.model},
                       {"state", state},
                       {"cmd", model.command},
                       {"proxy", ""},
                       {"ttl", std::chrono::duration_cast<std::chrono::seconds>(model.ttl).count()},
                       {"name", ""},
                       {"description", ""}});
  }
  return api::dump({{"running", std::move(running)}});
}

std::string unloaded_json() { return api::dump({{"msg", "ok"}}); }

}  // namespace minerva::llama_swap
