// PredictionScore: whether preloading on a guess pays: how many of the latest guesses came true.
//
// Threading: one thread. A plain count, which fades.
#pragma once

namespace minerva {

class PredictionScore {
 public:
  // A guess came true, or can no longer: what was loaded on it left unused.
  void count(bool right) {
    right_ = kKept * right_ + (right ? 1 : 0);
    all_ = kKept * all_ + 1;
    if (all_ < kEnough) return;
    const double share = right_ / all_;
    if (share < kTooFew) paused_ = true;
    if (share >= kAgain) paused_ = false;
  }
  bool paused() const { return paused_; }

 private:
  // About the last twenty count.
  static constexpr double kKept = 0.95;
  static constexpr double kEnough = 5;
  // A load that nobody waits for costs the machine's idle time only, so one in ten is enough (measured: ADR 16); and a
  // bit more to begin again, so that it does not go on and off.
  static constexpr double kTooFew = 0.1;
  static constexpr double kAgain = 0.15;

  double right_ = 0;
  double all_ = 0;
  bool paused_ = false;
};

}  // namespace minerva
