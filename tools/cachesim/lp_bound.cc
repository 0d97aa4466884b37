// The proof. As in bounds.cc, at each moment k what is kept beside the leased model fits into room(k) = capacity -
// size(leased). Let a byte at moment k cost price(k) >= 0. Whatever a policy keeps, it saves
//   sum of the kept reuses' savings
//     <= sum of their savings + sum over k of price(k) * (room(k) - what is kept at k)       as nothing exceeds its
//     room =  sum over k of price(k) * room(k) + sum of the kept reuses' (saving - size * prices of its moments)
//     <= sum over k of price(k) * room(k) + sum of all reuses' (saving - size * prices of its moments), if positive.
// The last line does not depend on the policy, and holds for any prices. With one price for all moments, the best such
// bound is PFOO-L. Prices that rise where room is short lower it. The lowest value is the optimum of the linear program
// (the paper's FOO-L). The search goes against the subgradient: the room that is left at each moment by the reuses that
// are worth their price. Wherever it stops, what was found is a bound.
// Sources: Berger et al. (see bounds.cc); B. Polyak, "Minimization of unsmooth functionals", 1969 (length of the
// steps).
#include "cachesim/lp_bound.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "cachesim/packing.h"
#include "cachesim/reuses.h"

namespace minerva::cachesim {
namespace {

class Prices {
 public:
  Prices(const Trace& trace, const World& world, Bytes capacity)
      : world_(world), reuses_(reuses_by_worth(trace, world)), prefix_(trace.requests.size() + 1) {
    for (const TraceRequest& request : trace.requests) {
      room_.push_back(static_cast<double>((capacity - world.models[request.model].size).count()));
    }
    price_.assign(room_.size(), one_for_all());
    left_.resize(room_.size() + 1);
    const std::vector<bool> hits = plan_hits(trace, world, capacity);
    for (const Reuse& reuse : reuses_) feasible_s_ += hits[reuse.to] ? reuse.saves_s : 0;
  }

  // The most that can be saved, in seconds.
  double most_saved_s(int rounds) {
    constexpr int kPatience = 20;  // after so many rounds without progress the steps become shorter
    constexpr double kProgress = 1e-4;
    double least_s = HUGE_VAL;
    double length = 1;
    int idle = 0;
    for (int round = 0; round < rounds; ++round) {
      const double saved_s = look();
      idle = saved_s < least_s - kProgress * (least_s - feasible_s_) ? 0 : idle + 1;
      least_s = std::min(least_s, saved_s);
      if (idle == kPatience) {
        length /= 2;
        idle = 0;
      }
      if (!step(length * (saved_s - feasible_s_))) break;
    }
    return least_s;
  }

 private:
  // The one price of PFOO-L: that of the reuse that would be cut.
  double one_for_all() const {
    double left = 0;
    for (const double room : room_) left += room;
    for (const Reuse& reuse : reuses_) {
      left -= reuse.space_time;
      if (left < 0) return reuse.saves_s / reuse.space_time;
    }
    return 0;
  }

  // The most that is saved at these prices. Also computes the room that is left at each moment then.
  double look() {
    double saved_s = 0;
    for (std::size_t k = 0; k < room_.size(); ++k) {
      prefix_[k + 1] = prefix_[k] + price_[k];
      saved_s += price_[k] * room_[k];
    }
    // First as differences between one moment and the one before it.
    std::fill(left_.begin(), left_.end(), 0.0);
    for (const Reuse& reuse : reuses_) {
      const auto size = static_cast<double>(world_.models[reuse.model].size.count());
      const double profit_s = reuse.saves_s - size * (prefix_[reuse.to] - prefix_[reuse.from + 1]);
      if (profit_s <= 0) continue;
      saved_s += profit_s;
      left_[reuse.from + 1] -= size;
      left_[reuse.to] += size;
    }
    double kept = 0;
    for (std::size_t k = 0; k < room_.size(); ++k) {
      kept += left_[k];
      left_[k] = room_[k] + kept;
    }
    return saved_s;
  }

  // False if no step helps.
  bool step(double gap_s) {
    double squares = 0;
    for (std::size_t k = 0; k < room_.size(); ++k) {
      if (price_[k] <= 0) left_[k] = std::min(left_[k], 0.0);
      squares += left_[k] * left_[k];
    }
    if (squares <= 0) return false;
    for (std::size_t k = 0; k < room_.size(); ++k) {
      price_[k] = std::max(0.0, price_[k] - gap_s / squares * left_[k]);
    }
    return true;
  }

  const World& world_;
  std::vector<Reuse> reuses_;
  std::vector<double> room_;    // at each moment
  std::vector<double> price_;   // seconds per byte, at each moment
  std::vector<double> prefix_;  // sums of the prices
  std::vector<double> left_;    // of the room, at each moment
  double feasible_s_ = 0;       // what a plan saves: at least so much can be saved
};

}  // namespace

double lp_lower_bound_s(const Trace& trace, const World& world, Bytes capacity, int rounds) {
  double all_s = 0;
  for (const TraceRequest& request : trace.requests) all_s += in_seconds(world.models[request.model].reload);
  return all_s - Prices(trace, world, capacity).most_saved_s(rounds);
}

}  // namespace minerva::cachesim
