// CallerTurns: whose request gets the next free slot of one model.
//
// The callers who wait take turns by the time for which they have used slots: the next slot goes to the caller who has
// used the least. A caller who did not wait for a while has no credit from that: his time counts from where the turns
// are now. So a caller with one request waits, in each slot, for at most one request of others that came later. The
// turns move on with the time that was used, shared by all who wait, so that new callers without end keep nobody from
// his turn.
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
  // The caller with the smallest is next.
  Duration used(UserId caller) const;
  // The caller gets `slots` slots, for an estimated time.
  void begin(UserId caller, Duration estimate, unsigned slots);
  // The caller gives them back after another time than was estimated, while so many callers wait.
  void end(UserId caller, Duration estimate, Duration took, unsigned slots, std::size_t waiting);
  // Nobody waits and nobody holds a slot: all are equal again.
  void clear();

 private:
  static constexpr std::size_t kMostCallers = 4096;  // with more, all are equal again

  Duration now_{};                             // where the turns are
  std::unordered_map<UserId, Duration> used_;  // of those who have used more than that
};

}  // namespace minerva
