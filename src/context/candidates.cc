#include "context/candidates.h"

#include <algorithm>
#include <utility>

namespace minerva {

void Candidates::add(const Draft& draft, const std::vector<const Model*>& models, bool ready, bool weighed) {
  const State& state = draft.state();
  const auto cost_of = [&](const Model& m, double seconds) -> std::optional<double> {
    const std::optional<double> demand = weighed ? state.cache.demand(m.id) : std::nullopt;
    if (!demand) return std::nullopt;
    return *demand * seconds;
  };
  const auto add_one = [&](const Model& m, const Departure& departure, bool stops) {
    departures.push_back(departure);
    whose.push_back({&m, stops, ready});
  };
  std::vector<std::pair<const Model*, std::size_t>> keep_something;  // and the index of their parking, if any
  for (const Model* m : models) {
    const ModelState now_in = draft.state_of(*m);
    const Footprint held = draft.held(*m);
    if (now_in == ModelState::kParked || now_in == ModelState::kParking) {
      keep_something.emplace_back(m, SIZE_MAX);
    } else if (state.parkable(*m) && (now_in == ModelState::kHot || now_in == ModelState::kWaking)) {
      keep_something.emplace_back(m, departures.size());
      const double wake = reload_seconds(State::usual_wake_time(*m));
      add_one(*m, {.frees = held - draft.expected_residue(*m), .cost = cost_of(*m, wake)}, /*stops=*/false);
    } else {
      const double load = reload_seconds(state.usual_load_time(*m));
      add_one(*m, {.frees = held, .cost = cost_of(*m, load)}, /*stops=*/true);
    }
  }
  for (const auto& [m, parking] : keep_something) {
    const bool parked = draft.state_of(*m) == ModelState::kParked;
    const Footprint keeps = parked ? draft.held(*m) : draft.expected_residue(*m);
    const double lost =
        std::max(reload_seconds(state.usual_load_time(*m)) - reload_seconds(State::usual_wake_time(*m)), 0.0);
    add_one(*m,
            {.frees = keeps, .ends_active = false, .after = parking, .keeps_nothing = true, .cost = cost_of(*m, lost)},
            /*stops=*/true);
  }
}

}  // namespace minerva
