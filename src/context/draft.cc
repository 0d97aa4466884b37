#include "context/draft.h"

#include <algorithm>

#include "context/planted_bug.h"

namespace minerva {

Draft::Draft(const State& state) : now(state.ledger.now()), planned(state.ledger.after_exits()), state_(state) {
  for (const auto& [id, m] : state_.models) {
    if (m.guess) guesses_.push_back(&m);
    if (m.pinned) pinned_.push_back(&m);
  }
}

const Draft::Fate& Draft::fate(const Model& m) const {
  static const Fate kAsItIs;
  const auto it = fates_.find(&m);
  return it == fates_.end() ? kAsItIs : it->second;
}

// ---- moves ----

void Draft::start(const Model& m) {
  const Footprint needs = state_.lacking(m);
  now.take(needs);
  planned.take(needs);
  fates_[&m].then = m.state() == ModelState::kParked ? ModelState::kWaking : ModelState::kLoading;
}

void Draft::leave(const Model& m, bool stops) {
  Fate& its = fates_[&m];
  const Footprint stays = stops ? Footprint() : expected_residue(m);
  const bool ends_active = state_of(m) != ModelState::kParked;
  if (!its.is_promised) planned.give_back(held(m) - stays, ends_active);
  its.then = stops ? ModelState::kStopping : ModelState::kParking;
}

void Draft::begin_switch(const Model& claimant) {
  if (!claimant.switching && std::ranges::find(switching_, &claimant) == switching_.end())
    switching_.push_back(&claimant);
}

// ---- questions ----

ModelState Draft::state_of(const Model& m) const { return fate(m).then.value_or(m.state()); }

bool Draft::has_engine(const Model& m) const { return m.engine || state_of(m) == ModelState::kLoading; }

Footprint Draft::held(const Model& m) const {
  const ModelState now_in = state_of(m);
  const bool started = now_in != m.state() && (now_in == ModelState::kLoading || now_in == ModelState::kWaking);
  return started ? m.footprint : state_.ledger.held(*m.engine);
}

bool Draft::is_promised(const Model& m) const { return fate(m).is_promised; }

std::vector<const Model*> Draft::idle_models() const {
  std::vector<const Model*> models;
  state_.cache.visit_victims([&](const CacheEntry& entry) {
    const Model& m = state_.models.at(entry.id);
    if (idle(m)) models.push_back(&m);
    return true;
  });
  return models;
}

const Model* Draft::idle_guess() const {
  const auto it = std::ranges::find_if(guesses_, [&](const Model* m) {
    if (!idle(*m)) return false;
    return State::only_guessed(*m) ||
           (m->state() == ModelState::kHot && state_.parkable(*m) && m->run.image <= state_.image_room(*m));
  });
  return it == guesses_.end() ? nullptr : *it;
}

bool Draft::never_fits_beside_pinned(const Model& m) const {
  Room room{state_.ledger.budget(), state_.ledger.max_models(), Footprint(), 0};
  for (const Model* other : pinned_) {
    if (fate(*other).is_unpinned || other == &m) continue;
    if (!has_engine(*other) || state_of(*other) == ModelState::kStopping) continue;
    room.committed += held(*other);
    if (state_of(*other) != ModelState::kParked) ++room.active;
  }
  return !room.fits(m.footprint);
}

std::optional<TimePoint> Draft::next_switch(const Model& claimant) const {
  constexpr Duration kSpan = std::chrono::seconds(1);
  const std::size_t most = state_.options.max_switches_per_second;
  const bool begun = claimant.switching || std::ranges::find(switching_, &claimant) != switching_.end();
  if (begun || most == 0 || planted_bug(PlantedBug::kSwitchesUnbounded)) return std::nullopt;
  std::vector<TimePoint> latest;
  for (const TimePoint when : state_.switches) {
    if (when + kSpan > state_.now) latest.push_back(when);
  }
  latest.insert(latest.end(), switching_.size(), state_.now);
  if (latest.size() < most) return std::nullopt;
  // If `most` switches are younger than a second, the oldest of these decides.
  return latest[latest.size() - most] + kSpan;
}

ImageRoom Draft::image_room(const Model& m) const {
  Bytes room = state_.image_room(m);
  if (m.run.image <= room) return {};
  for (const auto& [id, other] : state_.models) {
    if (state_of(other) == ModelState::kStopping && &other != &m) room += state_.ledger.image(*other.engine);
  }
  ImageRoom found{.when = ImageRoom::When::kLater};
  state_.cache.visit_victims([&](const CacheEntry& entry) {
    const Model& other = state_.models.at(entry.id);
    if (m.run.image <= room || state_.cache.rank(m.id) < state_.cache.rank(entry.id)) return false;
    const Bytes image = state_.ledger.image(*other.engine);
    if (other.state() != ModelState::kParked || !idle(other) || is_promised(other) || image == Bytes()) return true;
    room += image;
    found.stopped.push_back(&other);
    return true;
  });
  if (m.run.image > room) return {.when = ImageRoom::When::kNever};
  return found;
}

}  // namespace minerva
