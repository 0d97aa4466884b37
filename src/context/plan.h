// plan(): which model is loaded or woken next, which model leaves for which, and which has to wait. It is the heart of
// the core, and pure: it reads a State and returns moves, and carry_out() in moves.cc carries them out.
//
// Threading: one thread. A Move refers to the models of the State for which it was planned, so it is valid until one of
// them is forgotten.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "context/candidates.h"
#include "context/state.h"

namespace minerva {

// A model that makes room.
struct Leaver {
  enum class How {
    kPark,
    kStop,
    kLater,  // it parks once there is room for its image on disk
  };
  const Model* model;
  How how = How::kStop;
  std::vector<const Model*> image_victims{};  // parked models that are stopped first, to make room for its image
  bool drains = false;                        // kDrain: it gets no new leases from now on
  bool turn_ends = false;  // it is told to leave: the turn of its line begins anew, behind the claimant
};

struct Move {
  enum class Kind {
    // About the claimant alone.
    kStart,        // there is room: it is loaded, or woken if it is parked
    kAwaitExits,   // there will be room once engines that are leaving are gone, or once memory is no longer short
    kGiveUp,       // no request waits for it (any more), so it takes no other model's place
    kRefuse,       // it is larger than the budget: whatever wants it is refused
    kShed,         // it is larger than what other programs leave of its device: whatever wants it is refused for now
    kElsewhere,    // the same of a parked model: it is stopped, and inspected and placed anew
    kRefuseLoads,  // no idle models may leave for it, or they would not be enough: operators are refused, requests wait
    // Others make room for the claimant.
    kWithdraw,     // a model that is there only on a guess leaves before all others
    kStopReturn,   // a model comes back after a restart and no request waits for it: its load is stopped
    kLeave,        // all of `leavers` leave now, apart from those that are to park later (How::kLater)
    kDrain,        // all of `leavers` leave together once their leases have ended
    kAwaitModels,  // some of `leavers` cannot leave yet: they load, park or wake, or are too new
    kAwaitSwitch,  // all of `leavers` could leave, but the last second had as many switches as are allowed
    kAwaitOthers,  // no model can leave for it
    // Without a claimant.
    kYield,   // a load on a guess ends because a request waits
    kShrink,  // a model leaves because the limits are smaller than what engines hold
  };
  Kind kind;
  const Model* claimant = nullptr;
  std::vector<Leaver> leavers{};
  bool forced = false;                // an operator used force: pins are lifted and leases aborted
  std::optional<TimePoint> until{};   // at this time the plan may change by time alone
  std::string reason{};               // in words; moves about room have `candidates` and `chosen` instead
  Candidates candidates{};            // the models that the claimant could have displaced
  std::vector<std::size_t> chosen{};  // which of the candidates
};

// The moves, in the order in which they are to be carried out.
std::vector<Move> plan(const State& state);

}  // namespace minerva
