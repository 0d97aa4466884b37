// plan(): which model is loaded or woken next, which model leaves for which, and which has to wait. The heart of the
// core, and pure: it reads a State and says what is to be done; carry_out() in moves.cc does it.
//
// Threading: one thread. A Move refers to the models of the State it was planned for, until one of them is forgotten.
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
    kLater,  // it parks once its image has room on disk
  };
  const Model* model;
  How how = How::kStop;
  std::vector<const Model*> image_victims{};  // parked models that are stopped first, for the room of its image
  bool drains = false;                        // kDrain: it gets no new leases meanwhile
  bool turn_ends = false;                     // it is told for the first time: its line comes after the claimant now
};

struct Move {
  enum class Kind {
    // About the claimant alone.
    kStart,        // there is room: it is loaded, or woken if it is parked
    kAwaitExits,   // there will be room once those on their way out are gone
    kGiveUp,       // nobody waits for it, so it takes nobody's place
    kRefuse,       // it is larger than the budget: whoever wants it is refused
    kRefuseLoads,  // no idle models would be enough: operators are refused, requests wait
    // Others make room for the claimant.
    kWithdraw,     // a model that is there on a guess only leaves, before anybody else
    kStopReturn,   // a load that nobody waits for, after a restart, is stopped
    kLeave,        // all of `leavers` leave at once
    kDrain,        // all of `leavers` leave together once their leases have ended
    kAwaitModels,  // some of `leavers` cannot be told yet: they load, park, wake, or are too new
    kAwaitSwitch,  // all of `leavers` could leave, but there were as many switches in the last second as may be
    kAwaitOthers,  // nobody can leave for it
    // Without a claimant.
    kYield,   // a load on a guess ends, as a request waits
    kShrink,  // a model leaves, as the limits are smaller than what is held
  };
  Kind kind;
  const Model* claimant = nullptr;
  std::vector<Leaver> leavers{};
  bool forced = false;                // an operator's force: pins are lifted and leases aborted
  std::optional<TimePoint> until{};   // by then time alone may have changed the plan
  std::string reason{};               // in words; of the moves about room, `candidates` and `chosen` say it
  Candidates candidates{};            // whom the claimant could have displaced
  std::vector<std::size_t> chosen{};  // of these
};

// In the order in which they are to be carried out.
std::vector<Move> plan(const State& state);

}  // namespace minerva
