// Decision: the reason why something was done about a model, or was not. Each is written for a reader who was not
// there.
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
  kWake,      // a parked engine is brought back
  kMakeRoom,  // other models leave for this one
  kWait,      // no model may leave for it yet
  kPark,      // its memory goes to its image
  kStop,      // its engine is ended
  kRefuse,    // a request for it was refused because capacity is short
};
// "load", "wake", "make_room", "wait", "park", "stop", "refuse".
std::string_view decision_kind_name(DecisionKind kind);

// A model that could have left.
struct DecisionCandidate {
  ModelId model;
  std::string standing{};  // how the policy ranks it, in words: "last used 35 s ago"
  double score = 0;        // the policy's: the lowest leaves first
  Bytes frees{};           // what the others get if it leaves
  bool stops = false;      // it would be stopped; otherwise it would be parked
  bool chosen = false;
};

struct Decision {
  std::uint64_t id = 0;  // counts from 1
  TimePoint when;
  DecisionKind kind = DecisionKind::kLoad;
  ModelId model;
  std::string reason;                           // a sentence without its full stop
  std::uint64_t because_of = 0;                 // the decision from which this one follows, 0 if none
  std::vector<DecisionCandidate> candidates{};  // kMakeRoom and kWait: in the order in which they would have to leave
  std::uint64_t times = 1;                      // kRefuse: how many had the same reason; `when` is the last
  std::optional<ErrorCode> refusal{};           // kRefuse
};

}  // namespace minerva
