// Small random traces for tests, whose sizes and costs are independent of each other. Pure functions.
#pragma once

#include <cstdint>

#include "cachesim/random.h"
#include "cachesim/trace.h"
#include "cachesim/world.h"

namespace minerva::cachesim {

struct RandomTraceOptions {
  std::size_t models = 8;
  std::size_t requests = 200;
  bool equal = false;  // one size and one cost for all
};

// Every model has at least one request.
inline Trace random_trace(std::uint64_t seed, const RandomTraceOptions& options) {
  Random random(seed);
  Trace trace{.models = {}, .users = {"user"}, .requests = {}};
  for (std::size_t i = 0; i < options.models; ++i) {
    const std::size_t size = options.equal ? 5 : 1 + random.below(20);
    const std::size_t reload_ms = options.equal ? 500 : 1 + random.below(3000);
    trace.models.push_back({.id = "model-" + std::to_string(i),
                            .size = Bytes::gib(size),
                            .reload = std::chrono::milliseconds(static_cast<std::int64_t>(reload_ms))});
  }
  Duration now{};
  for (std::size_t i = 0; i < options.requests; ++i) {
    // Some requests come while the one before still waits, and some at the same time.
    now += std::chrono::milliseconds(static_cast<std::int64_t>(random.chance(0.2) ? 0 : random.below(4000)));
    const std::size_t popular = std::min(random.below(options.models), random.below(options.models));
    trace.requests.push_back({.arrival = now,
                              .model = static_cast<std::uint32_t>(i < options.models ? i : popular),
                              .user = 0,
                              .service = std::chrono::milliseconds(static_cast<std::int64_t>(random.below(5000)))});
  }
  return trace;
}

// Anything between the size of the largest model and that of all models.
inline Bytes random_capacity(std::uint64_t seed, const World& world) {
  const double share = Random(seed).unit();
  const double between = static_cast<double>((world.all - world.largest).count());
  return world.largest + Bytes(static_cast<std::uint64_t>(share * between));
}

}  // namespace minerva::cachesim
