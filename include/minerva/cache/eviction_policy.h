// EvictionPolicy: which resident model should go first. One small file per policy in src/cache/.
//
// A policy ranks entries; ModelCache keeps them ordered by rank and hands out victims, leaving out what may not be
// evicted. So a policy is a pure function of the entry and of what it was told, and victim choice is O(log n) for every
// policy whose ranks do not change with time.
// Threading: used by the thread that owns the ModelCache.
#pragma once

#include <algorithm>
#include <compare>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "minerva/base/bytes.h"
#include "minerva/base/clock.h"
#include "minerva/base/ids.h"
#include "minerva/base/result.h"

namespace minerva {

// What a policy may look at. Ticks count the operations of the cache from 1: a strict order, where two times may tie.
struct CacheEntry {
  ModelId id;
  Bytes footprint;
  std::uint64_t insert_tick = 0;    // when it became resident, or came back from being parked
  std::uint64_t last_use_tick = 0;  // 0: never used (a preload is no use)
  std::uint64_t access_count = 0;   // leases granted since it became resident
  TimePoint inserted{};
  TimePoint last_used{};   // meaningful when last_use_tick > 0
  bool preloaded = false;  // became resident by a preload and was not used since
  bool parked = false;     // goes by being stopped; otherwise by being parked, where that can be
  Duration reload_cost{};  // until it could serve again, had it gone; 0 if that is not known

  bool operator==(const CacheEntry&) const = default;
};

// What a policy remembers beyond the entries, of one model or of none, for one of its name in another life: numbers
// that only it understands, as of `when`.
struct Learned {
  TimePoint when{};
  std::vector<double> values{};  // finite, not negative

  bool operator==(const Learned&) const = default;
};

// What a reload counts as to policies that weigh it, in seconds: a shorter one than this nobody feels, and how long it
// takes is chance. So small models that are parked go by their uses alone.
constexpr Duration kShortestReload = std::chrono::milliseconds(250);
inline double reload_seconds(Duration reload) {
  return std::chrono::duration<double>(std::max(reload, kShortestReload)).count();
}

// Lower goes first. `tiebreak` makes the order strict.
struct EvictionRank {
  double value = 0;
  std::uint64_t tiebreak = 0;
  std::uint64_t insert_tick = 0;
  auto operator<=>(const EvictionRank&) const = default;
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  // The registered name: "lru".
  virtual std::string_view name() const = 0;
  // Another one that remembers the same.
  virtual std::unique_ptr<EvictionPolicy> clone() const = 0;
  // Called after each change of `entry` (insert, use). Must depend on nothing but the arguments and what used() and
  // evicted() saw.
  virtual EvictionRank rank(const CacheEntry& entry, TimePoint now) const = 0;
  // The rank of an entry to which nothing happens is another one later: it is asked for again before victims are
  // chosen.
  virtual bool changes_with_time() const { return false; }
  // How `entry` stands with this policy, in words: "last used 35 s ago".
  virtual std::string standing(const CacheEntry& entry, TimePoint now) const = 0;
  // How much `entry` is wanted; times the seconds of a reload, it is what letting it go costs, so that the cheapest set
  // of victims can be chosen. Nothing: victims go one by one, in the order of their ranks.
  virtual std::optional<double> demand(const CacheEntry& entry, TimePoint now) const {
    static_cast<void>(entry);
    static_cast<void>(now);
    return std::nullopt;
  }
  // A lease was granted, which `entry` counts already, or will be: for policies that remember more than an entry does.
  virtual void used(const CacheEntry& entry, TimePoint now) {
    static_cast<void>(entry);
    static_cast<void>(now);
  }
  // An entry left to make room: for policies that age.
  virtual void evicted(const CacheEntry& entry) { static_cast<void>(entry); }
  // What it remembers of `id`; of no single model if that is empty.
  virtual std::optional<Learned> learned(const ModelId& id) const {
    static_cast<void>(id);
    return std::nullopt;
  }
  // Takes what learned() said in another life. What it cannot understand is ignored.
  virtual void learn(const ModelId& id, const Learned& learned) {
    static_cast<void>(id);
    static_cast<void>(learned);
  }
  // All that it remembers.
  virtual void forget() {}
};

std::unique_ptr<EvictionPolicy> make_lru_policy();
std::unique_ptr<EvictionPolicy> make_lfu_policy();
std::unique_ptr<EvictionPolicy> make_fifo_policy();
std::unique_ptr<EvictionPolicy> make_gdsf_policy();
std::unique_ptr<EvictionPolicy> make_hazard_policy();

// By registered name. Errors: kInvalidArgument, naming the policies there are.
Result<std::unique_ptr<EvictionPolicy>> make_policy(std::string_view name);
std::vector<std::string> policy_names();

}  // namespace minerva
