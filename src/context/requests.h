// RequestQueue: all calls that wait for an answer: the lines of each model, and the deadlines.
//
// Threading: one thread. Ownership: holds waiters by value until they are taken. It answers nobody.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>
#include <vector>

#include "minerva/context/types.h"

namespace minerva {

enum class WaitKind { kLease, kLoad, kUnload, kPark };

struct Waiter {
  RequestId id{};
  WaitKind kind = WaitKind::kLease;
  ModelId model;
  TimePoint arrived{};
  TimePoint counts_from{};                     // decides its turn among the models that wait for room
  TimePoint deadline = TimePoint::max();       // max: none
  CacheOutcome outcome = CacheOutcome::kMiss;  // lease: as counted at its arrival
  UserId caller{};                             // lease
  Priority priority = Priority::kNormal;       // lease
  unsigned slots = 1;                          // lease: how many it takes at once; 0: it is a visit
  bool preload = false;                        // load
  bool force = false;                          // load
  bool retried = false;                        // lease: it lost an engine before
  TimePoint patient_until{};                   // park: until then its engine is asked again while it works
  Asker asker = Asker::kOperator;              // unload, park
  std::uint64_t place = 0;                     // in the order of arrival over all models; set by add()
};

class RequestQueue {
 public:
  using Line = std::map<std::uint64_t, RequestId>;   // by place
  using Turn = std::pair<TimePoint, std::uint64_t>;  // counts_from, and the place
  static constexpr Turn kNoTurn = {TimePoint::max(), UINT64_MAX};
  struct Lines {
    Line leases;
    Line visits;                       // the leases that take no slot
    std::map<UserId, Line> by_caller;  // the other leases
    Line loads;
    Line unloads;
    Line parks;
    std::set<Turn> turns;  // the turns of the leases and loads
    // How many want the model: leases and loads.
    std::size_t wanting() const { return leases.size() + loads.size(); }
    bool empty() const { return leases.empty() && loads.empty() && unloads.empty() && parks.empty(); }
    // The place of the oldest call that wants the model; nothing if there is none.
    std::optional<std::uint64_t> oldest() const;
    Turn first_turn() const { return turns.empty() ? kNoTurn : *turns.begin(); }
    // The place of the oldest unload; UINT64_MAX if there is none.
    std::uint64_t first_unload() const { return unloads.empty() ? UINT64_MAX : unloads.begin()->first; }
    std::uint64_t first_park() const { return parks.empty() ? UINT64_MAX : parks.begin()->first; }
    // The place of the oldest unload or park. A request with a later place waits until the model has left.
    std::uint64_t first_leave() const { return std::min(first_unload(), first_park()); }
  };

  // The next place in line, also for something that waits without being a call.
  std::uint64_t next_place() { return next_place_++; }
  // Requires: the id is not waiting.
  void add(Waiter waiter);
  // Requires: waiting.
  Waiter take(RequestId id);
  // The call waits without a deadline from now on. Requires: waiting.
  void clear_deadline(RequestId id);

  // The next engine of this lease is its last one. Requires: waiting.
  void mark_retried(RequestId id);

  // nullptr if not waiting.
  const Waiter* find(RequestId id) const;
  const Lines& lines(const ModelId& model) const;
  // How many leases and loads wait, of all models.
  std::size_t wanting() const { return wanting_; }
  std::size_t leases() const { return leases_; }
  std::size_t size() const { return waiters_.size(); }
  std::optional<TimePoint> next_deadline() const;
  // The calls whose deadlines have passed, in the order of the deadlines.
  std::vector<RequestId> expired(TimePoint now) const;

  void check_invariants() const;

 private:
  static Line& line_of(Lines& lines, WaitKind kind);
  // The second line in which a lease has a place, beside the line of all leases.
  static Line& lease_line(Lines& lines, const Waiter& waiter);

  std::map<RequestId, Waiter> waiters_;
  std::unordered_map<ModelId, Lines> lines_;  // a model without waiting calls has no entry
  std::set<std::pair<TimePoint, RequestId>> deadlines_;
  std::size_t wanting_ = 0;
  std::size_t leases_ = 0;
  std::uint64_t next_place_ = 1;
};

}  // namespace minerva
