// CallerTurns: says whose request gets the next free slot of one model.
//
// The callers who wait take turns by the time for which they have used slots: the next slot goes to the caller who has
// used the least. A caller gets no credit for a time in which he did not wait: his time counts from the point where the
// turns are now. So a caller with one request waits, in each slot, for at most one request of others that came later.
// The turns advance by the time that was used, divided by the number of callers who wait, so that a stream of new
// callers keeps nobody from his turn.
//
// Threading: one thread. Ownership: plain data. It does not know who waits.
#pragma once

#include <cstddef>
#include <unordered_map>

#include "minerva/base/clock.h"
#include "minerva/base/ids.h"

namespace minerva {

class CallerTurns {
 public:
  // The caller with the smallest value is next.
  Duration used(UserId caller) const;
  // The caller gets `slots` slots, for an estimated time.
  void begin(UserId caller, Duration estimate, unsigned slots);
  // The caller gives the slots back, after `took` instead of `estimate`, while `waiting` callers wait.
  void end(UserId caller, Duration estimate, Duration took, unsigned slots, std::size_t waiting);
  // Nobody waits and nobody holds a slot: all callers are equal again.
  void clear();

 private:
  static constexpr std::size_t kMostCallers = 4096;  // with more callers than this, all are equal again

  Duration now_{};                             // the point where the turns are
  std::unordered_map<UserId, Duration> used_;  // only of callers who have used more than that
};

}  // namespace minerva
