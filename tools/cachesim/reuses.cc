#include "cachesim/reuses.h"

#include <algorithm>
#include <optional>

#include "minerva/base/check.h"

namespace minerva::cachesim {

std::vector<Reuse> reuses_by_worth(const Trace& trace, const World& world) {
  check(world.models.size() == trace.models.size(), "the world is another trace's");
  std::vector<std::optional<std::size_t>> last(trace.models.size());
  std::vector<Reuse> reuses;
  for (std::size_t i = 0; i < trace.requests.size(); ++i) {
    const std::uint32_t model = trace.requests[i].model;
    if (last[model]) {
      Reuse reuse{.model = model, .from = *last[model], .to = i};
      reuse.saves_s = std::chrono::duration<double>(world.models[model].reload).count();
      reuse.space_time = static_cast<double>(world.models[model].size.count()) * static_cast<double>(reuse.moments());
      reuses.push_back(reuse);
    }
    last[model] = i;
  }
  const auto worth = [](const Reuse& reuse) { return reuse.saves_s / reuse.space_time; };
  std::sort(reuses.begin(), reuses.end(),
            [&](const Reuse& a, const Reuse& b) { return worth(a) != worth(b) ? worth(a) > worth(b) : a.to < b.to; });
  return reuses;
}

}  // namespace minerva::cachesim
