// Lack: memory in some of the pools, or a place for an active engine, that a claimant waits for. While it waits, models
// that hold some of that do not leave for later claimants. Plain values; any thread.
#pragma once

#include <array>
#include <cstddef>

#include "context/ledger.h"

namespace minerva {

struct Lack {
  std::array<bool, Footprint::kPools> pools{};
  bool place = false;

  // What `room` lacks for one more engine that needs so much.
  static Lack of(const Room& room, const Footprint& needs) {
    Lack lack{.place = !room.has_place()};
    for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) lack.pools[pool] = !room.has_memory(pool, needs);
    return lack;
  }
  // What a model gives that holds so much. Each model that leaves gives a place back.
  static Lack eased_by(const Footprint& held) {
    Lack gives{.place = true};
    for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) gives.pools[pool] = held.of(pool) > Bytes();
    return gives;
  }
  void add(const Lack& other) {
    place |= other.place;
    for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) pools[pool] |= other.pools[pool];
  }
  // Whether whoever waits for this also waits for some of `other`.
  bool covers(const Lack& other) const {
    if (place) return true;
    for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) {
      if (pools[pool] && other.pools[pool]) return true;
    }
    return false;
  }
};

}  // namespace minerva
