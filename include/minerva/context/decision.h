// Decision: why something was done about a model, or not. One record each, written for a reader who was not there.
//
// Threading: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/error.h"
#include "minerva/base/ids.h"

namespace minerva {

enum class DecisionKind {
  kLoad,      // an engine is started
  kWake,      // a parked one is brought back
  kMakeRoom,  // others leave for it
  kWait,      // nobody may leave for it yet
  kPark,      // it goes to its image
  kStop,      // its engine is ended
  kRefuse,    // a request for it was turned away for want of capacity
};
// "load", "wake", "make_room", "wait", "park", "stop", "refuse".
std::string_view decision_kind_name(DecisionKind kind);

// A model that could have left.
struct DecisionCandidate {
  ModelId model;
  std::string standing{};  // as the policy sees it: "last used 35 s ago"
  double score = 0;        // of the policy: the lowest goes first
  Bytes frees{};           // what its leaving gives back
  bool stops = false;      // otherwise it would be parked
  bool chosen = false;
};

struct Decision {
  std::uint64_t id = 0;  // counts from 1
  TimePoint when;
  DecisionKind kind = DecisionKind::kLoad;
  ModelId model;
  std::string reason;                           // a sentence without its end
  std::uint64_t because_of = 0;                 // the decision it follows from, 0 if none
  std::vector<DecisionCandidate> candidates{};  // kMakeRoom and kWait: in the order in which they would be asked to go
  std::uint64_t times = 1;                      // kRefuse: so many, for the same reason; `when` is the last
  std::optional<ErrorCode> refusal{};           // kRefuse
};

}  // namespace minerva
