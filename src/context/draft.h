// Draft: the state as it will be once the moves planned so far are carried out.
//
// plan() changes nothing. What a move takes or gives back is noted here, so that the next claim reckons with it.
// Threading: one thread. Ownership: refers to a State, which must not change meanwhile.
#pragma once

#include <optional>
#include <unordered_map>
#include <vector>

#include "context/state.h"

namespace minerva {

// Whether the image of a model that is to be parked will find room on disk.
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
  // What is free now, beside what was started in this draft; and what will be free once everything on its way out is
  // gone and every claim so far is met.
  Room now;
  Room planned;

  // ---- moves ----
  // It is loaded, or woken. Takes from both rooms.
  void start(const Model& m);
  // It leaves at once, stopped or parked. Gives back what it held, unless that is claimed: then the claim did.
  void leave(const Model& m, bool stops);
  // It no longer waits for room.
  void give_up(const Model& m) { fates_[&m].then = ModelState::kCold; }
  // Somebody counts on its leaving, sooner or later: nobody else may.
  void claim(const Model& m) { fates_[&m].claimed = true; }
  void lift_pin(const Model& m) { fates_[&m].unpinned = true; }
  // Models leave for `claimant`.
  void begin_switch(const Model& claimant);

  // ---- questions, as State answers them ----
  ModelState state_of(const Model& m) const;
  bool has_engine(const Model& m) const;
  Bytes held(const Model& m) const;
  Bytes expected_residue(const Model& m) const { return State::expected_residue(m, held(m)); }
  bool idle(const Model& m) const { return state_of(m) == m.state() && state_.idle(m); }
  bool claimed(const Model& m) const;
  // Those that may leave, the first victim of the policy first.
  std::vector<const Model*> idle_models() const;
  // One that is there on a guess only, and may leave before all others; nullptr if there is none.
  const Model* idle_guess() const;
  bool never_fits_beside_pinned(const Model& m) const;
  // Others may not leave for `claimant` before this, by max_switches_per_second. Nothing: they may now.
  std::optional<TimePoint> next_switch(const Model& claimant) const;
  // Parked models that the policy ranks below `m` go for its image.
  ImageRoom image_room(const Model& m) const;

 private:
  struct Fate {
    std::optional<ModelState> then{};  // its state, other than now
    bool claimed = false;
    bool unpinned = false;
  };
  const Fate& fate(const Model& m) const;

  const State& state_;
  std::unordered_map<const Model*, Fate> fates_;
  std::vector<const Model*> switching_;
};

}  // namespace minerva
