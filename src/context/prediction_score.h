// PredictionScore: says whether preloading on a guess pays, by how many of the latest guesses came true.
//
// Threading: one thread. A plain count that fades.
#pragma once

namespace minerva {

class PredictionScore {
 public:
  // Counts a guess that came true, or that cannot come true any more: the loaded model left unused.
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
  // About the last twenty guesses count.
  static constexpr double kKept = 0.95;
  static constexpr double kEnough = 5;
  // A load that nobody waits for costs only idle time of the machine, so it is enough if one guess in ten comes true
  // (measured: ADR 16). To begin again takes a bit more, so that preloading does not go on and off.
  static constexpr double kTooFew = 0.1;
  static constexpr double kAgain = 0.15;

  double right_ = 0;
  double all_ = 0;
  bool paused_ = false;
};

}  // namespace minerva
