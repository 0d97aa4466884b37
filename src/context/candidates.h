// Candidates: the models that a claimant may displace, what each of them would give back, and what would be lost.
//
// Threading: one thread. Plain data. Which of them leave is decided in victims.h, and which may be candidates in
// plan.cc.
#pragma once

#include <vector>

#include "context/draft.h"
#include "context/victims.h"

namespace minerva {

struct Candidates {
  struct Whose {
    const Model* model;
    bool stops;  // otherwise it parks
    bool ready;  // it may be told to leave now; otherwise only later
  };
  std::vector<Departure> departures;
  std::vector<Whose> whose;  // one for each departure

  // Adds `models`, which leave in this order: first everything that can be had without losing a conversation, then the
  // rest. `weighed`: if the policy can tell costs, the cheapest set of them is wanted instead of the first ones.
  void add(const Draft& draft, const std::vector<const Model*>& models, bool ready, bool weighed);
};

}  // namespace minerva
