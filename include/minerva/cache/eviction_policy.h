// EvictionPolicy: says which resident model should leave first. One small file per policy in src/cache/.
//
// A policy ranks entries. ModelCache keeps them ordered by rank and hands out victims, without those that may not be
// evicted. So a policy is a pure function of an entry and of the uses and evictions that it was told about, and
// choosing a victim is O(log n) for every policy whose ranks do not change with time.
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

// What a policy may look at. Ticks count the operations of the cache from 1: they are strictly ordered, while two times
// may be equal.
struct CacheEntry {
  ModelId id;
  Bytes footprint;
  std::uint64_t insert_tick = 0;    // when it became resident, or came back from being parked
  std::uint64_t last_use_tick = 0;  // 0: never used (a preload is no use)
  std::uint64_t access_count = 0;   // leases granted since it became resident
  TimePoint inserted{};
  TimePoint last_used{};   // meaningful when last_use_tick > 0
  bool preloaded = false;  // a preload made it resident, and it was not used since
  bool parked = false;  // it leaves by being stopped; an entry that is not parked leaves by being parked, if it can be
  Duration reload_cost{};  // how long it would take until it could serve again after leaving; 0 if that is not known

  bool operator==(const CacheEntry&) const = default;
};

// What a policy remembers beyond the entries, for the same policy in a later life: of one model, or of none. Only the
// policy understands the numbers, which are as of `when`.
struct Learned {
  TimePoint when{};
  std::vector<double> values{};  // finite, not negative

  bool operator==(const Learned&) const = default;
};

// The duration of a reload, in seconds, as policies count it that weigh reloads. Nobody notices a reload that is
// shorter than the least value, and its exact duration is chance. So small models that are parked are ranked by their
// uses alone.
constexpr Duration kShortestReload = std::chrono::milliseconds(250);
inline double reload_seconds(Duration reload) {
  return std::chrono::duration<double>(std::max(reload, kShortestReload)).count();
}

// The lowest leaves first. `tiebreak` makes the order strict.
struct EvictionRank {
  double value = 0;
  std::uint64_t tiebreak = 0;
  std::uint64_t insert_tick = 0;
  auto operator<=>(const EvictionRank&) const = default;
};

class EvictionPolicy {
 public:
  virtual ~EvictionPolicy() = default;
  // The name under which it is registered: "lru".
  virtual std::string_view name() const = 0;
  // Another policy of the same kind that remembers the same.
  virtual std::unique_ptr<EvictionPolicy> clone() const = 0;
  // Called after each change of `entry` (insert, use). The rank must depend only on the arguments and on what used()
  // and evicted() were told.
  virtual EvictionRank rank(const CacheEntry& entry, TimePoint now) const = 0;
  // Whether the rank of an entry changes with time alone. If so, the ranks are asked for again before victims are
  // chosen.
  virtual bool changes_with_time() const { return false; }
  // How the policy ranks `entry`, in words: "last used 35 s ago".
  virtual std::string standing(const CacheEntry& entry, TimePoint now) const = 0;
  // How much `entry` is wanted. This times the seconds of a reload is the cost of evicting it, by which the cheapest
  // set of victims is chosen. Nothing: victims leave one by one, in the order of their ranks.
  virtual std::optional<double> demand(const CacheEntry& entry, TimePoint now) const {
    static_cast<void>(entry);
    static_cast<void>(now);
    return std::nullopt;
  }
  // For policies that remember more than an entry does: a lease was granted; `entry` counts it already, or is going to.
  virtual void used(const CacheEntry& entry, TimePoint now) {
    static_cast<void>(entry);
    static_cast<void>(now);
  }
  // For policies that age: an entry left to make room.
  virtual void evicted(const CacheEntry& entry) { static_cast<void>(entry); }
  // What the policy remembers of `id`, or of no single model if `id` is empty.
  virtual std::optional<Learned> learned(const ModelId& id) const {
    static_cast<void>(id);
    return std::nullopt;
  }
  // Takes over what learned() returned in an earlier life. Values that the policy cannot understand are ignored.
  virtual void learn(const ModelId& id, const Learned& learned) {
    static_cast<void>(id);
    static_cast<void>(learned);
  }
  // Everything that the policy remembers.
  virtual void forget() {}
};

std::unique_ptr<EvictionPolicy> make_lru_policy();
std::unique_ptr<EvictionPolicy> make_lfu_policy();
std::unique_ptr<EvictionPolicy> make_fifo_policy();
std::unique_ptr<EvictionPolicy> make_gdsf_policy();
std::unique_ptr<EvictionPolicy> make_hazard_policy();

// By registered name. Errors: kInvalidArgument, with the names that there are.
Result<std::unique_ptr<EvictionPolicy>> make_policy(std::string_view name);
std::vector<std::string> policy_names();

}  // namespace minerva
