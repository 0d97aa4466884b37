// World: how large each model of a trace is and what it costs to load, and how much memory that makes of a share.
//
// What the trace does not say is drawn: sizes log-uniform from 0.5 to 50 GB, a load takes 0.8 s and its bytes at
// 2 GB/s. Threading: plain values.
#pragma once

#include <cstdint>
#include <vector>

#include "cachesim/trace.h"

namespace minerva::cachesim {

struct WorldModel {
  Bytes size;
  Duration reload{};
};

struct World {
  std::vector<WorldModel> models;  // as in Trace::models
  Bytes all;                       // of them together
  Bytes largest;

  // A share of all bytes, but enough for any one model.
  Bytes capacity(double percent) const;
};

// A pure function of its arguments.
World make_world(const Trace& trace, std::uint64_t seed);
// Whether the seed matters.
bool is_drawn(const Trace& trace);

}  // namespace minerva::cachesim
