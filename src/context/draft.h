// Draft: the state as it will be once the moves planned so far have been carried out.
//
// plan() changes nothing. The draft notes what each move takes or gives back, so that plans for later claimants reckon
// with it. Threading: one thread. Ownership: refers to a State, which must not change meanwhile.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "context/state.h"

namespace minerva {

// Whether there will be room on disk for the image of a model that is to be parked.
struct ImageRoom {
  enum class When {
    kNow,
    kLater,  // once `stopped` are gone, and those that are stopping already
    kNever,
  } when = When::kNow;
  std::vector<const Model*> stopped{};  // parked models that have to go for it
};

class Draft {
 public:
  explicit Draft(const State& state);

  const State& state() const { return state_; }
  // `now`: what is free now, less what this draft has started. `planned`: what will be free once everything that is
  // leaving is gone and every claimant so far has its room.
  Room now;
  Room planned;

  // ---- moves ----
  // It is loaded, or woken. Takes from both rooms.
  void start(const Model& m);
  // The model leaves at once, stopped or parked. It gives back what it held, unless it was promised to a claimant:
  // `planned` has that already.
  void leave(const Model& m, bool stops);
  // The model no longer waits for room.
  void give_up(const Model& m) { fates_[&m].then = ModelState::kCold; }
  // A claimant counts on this model to leave, now or later, so no other claimant may count on it.
  void promise(const Model& m) { fates_[&m].is_promised = true; }
  void lift_pin(const Model& m) { fates_[&m].is_unpinned = true; }
  // Models leave for `claimant`.
  void begin_switch(const Model& claimant);

  // ---- questions, as State answers them ----
  ModelState state_of(const Model& m) const;
  bool has_engine(const Model& m) const;
  Footprint held(const Model& m) const;
  Footprint expected_residue(const Model& m) const { return State::expected_residue(m, held(m)); }
  bool idle(const Model& m) const { return state_of(m) == m.state() && state_.idle(m); }
  bool is_promised(const Model& m) const;
  // The models that may leave, the policy's first victim first.
  std::vector<const Model*> idle_models() const;
  // A model that is there only on a guess, and may leave before all others; nullptr if there is none.
  const Model* idle_guess() const;
  bool never_fits_beside_pinned(const Model& m) const;
  // The time before which no model may leave for `claimant`, by max_switches_per_second. Nothing: they may leave now.
  std::optional<TimePoint> next_switch(const Model& claimant) const;
  // Parked models that the policy ranks below `m` leave to make room for its image.
  ImageRoom image_room(const Model& m) const;

 private:
  struct Fate {
    std::optional<ModelState> then{};  // its state, other than now
    bool is_promised = false;
    bool is_unpinned = false;
  };
  const Fate& fate(const Model& m) const;

  const State& state_;
  std::unordered_map<const Model*, Fate> fates_;
  std::vector<const Model*> switching_;
  // The models with a guess, and the pinned ones, both by id: the questions about them come once for each claimant.
  std::vector<const Model*> guesses_;
  std::vector<const Model*> pinned_;
};

}  // namespace minerva
