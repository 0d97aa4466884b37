// Candidates: what a claimant may displace, what each of them would give back, and what would be lost with it.
//
// Threading: one thread. Plain data; which of them leave is victims.h's, who may be one is plan.cc's.
#pragma once

#include <vector>

#include "context/draft.h"
#include "context/victims.h"

namespace minerva {

struct Candidates {
  struct Whose {
    const Model* model;
    bool stops;  // otherwise it parks
    bool ready;  // it may be told now, not only later
  };
  std::vector<Departure> departures;
  std::vector<Whose> whose;  // of each departure

  // Adds `models`, which go in this order: first all that can be had without losing a conversation, then the rest.
  // `weighed`: the cheapest set of them is wanted, if the policy can tell, rather than the first ones.
  void add(const Draft& draft, const std::vector<const Model*>& models, bool ready, bool weighed);
};

}  // namespace minerva
