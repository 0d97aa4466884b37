// World: the size and the load time of each model of a trace, and how much memory a share of all models is.
//
// What the trace does not say is drawn at random: sizes are log-uniform from 0.5 to 50 GB, and a load takes 0.8 s plus
// the bytes at 2 GB/s. Threading: plain values.
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
  std::vector<WorldModel> models;  // in the order of Trace::models
  Bytes all;                       // of them together
  Bytes largest;

  // A share of the bytes of all models, but enough for any one model.
  Bytes capacity(double percent) const;
};

// A pure function of its arguments.
World make_world(const Trace& trace, std::uint64_t seed);
// Whether the seed matters.
bool is_drawn(const Trace& trace);

}  // namespace minerva::cachesim
