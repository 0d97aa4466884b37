// Breaker: says whether a model that failed may be tried again, and by how many requests at once.
//
// While it is closed, everything passes. After failures in a row it opens: nothing passes until the backoff is over.
// The backoff doubles with each failure and is shortened by a jitter, so that models that failed together are not tried
// together. Then the breaker is half open: one try decides. Source of the pattern: M. Nygard, Release It!, "Circuit
// Breaker".
//
// A plain value on the core's clock: no timer, no randomness (the jitter follows from a seed). Threading: none of its
// own.
#pragma once

#include <cstdint>

#include "minerva/context/types.h"

namespace minerva {

class Breaker {
 public:
  struct Backoff {
    Duration first;
    Duration most;
    std::uint64_t jitter_seed = 0;
  };
  enum class Failure {
    kLoad,     // the model cannot be loaded; a load proves the contrary
    kCrash,    // its engine died during a load
    kRequest,  // its engine died with requests, or idle; only a served request proves the contrary
  };

  BreakerState state(TimePoint now) const;
  bool open(TimePoint now) const { return state(now) == BreakerState::kOpen; }
  bool half_open(TimePoint now) const { return state(now) == BreakerState::kHalfOpen; }
  // When the model may be tried again; meaningful while the breaker is open.
  TimePoint open_until() const { return open_until_; }
  // How many failures there were in a row.
  int failures() const { return failures_; }

  // The first crash in a row may be bad luck and does not open the breaker.
  void failed(Failure failure, TimePoint now, const Backoff& backoff);
  // The model was loaded.
  void loaded();
  // A request was served: all failures are forgiven.
  void served() { *this = Breaker(); }
  // An operator wants the model tried. The failures so far still count.
  void let_through() { tripped_ = false; }

 private:
  int failures_ = 0;
  bool tripped_ = false;
  bool request_has_to_prove_ = false;
  TimePoint open_until_{};
};

}  // namespace minerva
