#include "server/decisions.h"

#include <algorithm>

#include "api/decisions.h"

namespace minerva {
namespace {

constexpr unsigned kUsualLimit = 100;
constexpr unsigned kMostDecisions = 1000;

bool concerns(const Decision& decision, const ModelId& model) {
  return decision.model == model || std::any_of(decision.candidates.begin(), decision.candidates.end(),
                                                [&](const auto& c) { return c.chosen && c.model == model; });
}

}  // namespace

io::Task<void> show_decisions(Service& service, Exchange& x) {
  const Result<unsigned> limit = x.query.number("limit", kUsualLimit, kMostDecisions);
  if (!limit) co_return co_await x.error(limit.error());
  std::optional<ModelId> model;
  if (const std::string* name = x.query.find("model")) {
    if (name->empty()) {
      co_return co_await x.error({ErrorCode::kInvalidArgument, "\"model\" must be a model's id or alias.", "model"});
    }
    // A model that the catalog has lost can still be found here.
    const Result<ModelId> id = co_await service.resolve(*name);
    model = id ? *id : ModelId(*name);
  }
  const TimePoint now = Clock::now();
  const auto wall = std::chrono::system_clock::now();
  std::vector<api::DecisionAnswer> found;
  const std::deque<Decision>& decisions = service.host.context().decisions();
  for (auto decision = decisions.rbegin(); decision != decisions.rend() && found.size() < *limit; ++decision) {
    if (model && !concerns(*decision, *model)) continue;
    found.push_back(
        {*decision, wall - std::chrono::duration_cast<std::chrono::system_clock::duration>(now - decision->when)});
  }
  co_await x.json(200, api::decisions_json(found));
}

}  // namespace minerva
