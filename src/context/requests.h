// RequestQueue: every call that waits for an answer: the lines of each model, and who must be answered by when.
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
  TimePoint counts_from{};                     // its turn among the models that wait for room
  TimePoint deadline = TimePoint::max();       // max: none
  CacheOutcome outcome = CacheOutcome::kMiss;  // lease: as counted at its arrival
  UserId caller{};                             // lease
  Priority priority = Priority::kNormal;       // lease
  unsigned slots = 1;                          // lease: those it takes at once; 0: it is a visit
  bool preload = false;                        // load
  bool force = false;                          // load
  bool retried = false;                        // lease: an engine died under it before
  TimePoint patient_until{};                   // park: its engine is asked again while it works
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
    Line visits;                       // those of the leases that take no slot
    std::map<UserId, Line> by_caller;  // the others
    Line loads;
    Line unloads;
    Line parks;
    std::set<Turn> turns;  // of the leases and loads
    // Those that want the model: leases and loads.
    std::size_t wanting() const { return leases.size() + loads.size(); }
    bool empty() const { return leases.empty() && loads.empty() && unloads.empty() && parks.empty(); }
    // The place of the oldest that wants the model; nothing if none does.
    std::optional<std::uint64_t> oldest() const;
    Turn first_turn() const { return turns.empty() ? kNoTurn : *turns.begin(); }
    // The place of the oldest unload; UINT64_MAX if there is none.
    std::uint64_t first_unload() const { return unloads.empty() ? UINT64_MAX : unloads.begin()->first; }
    std::uint64_t first_park() const { return parks.empty() ? UINT64_MAX : parks.begin()->first; }
    // Of whichever comes first: who asks for the model later waits until it has left.
    std::uint64_t first_leave() const { return std::min(first_unload(), first_park()); }
  };

  // The next place in line, also for what waits without being a request.
  std::uint64_t next_place() { return next_place_++; }
  // Requires: the id is not waiting.
  void add(Waiter waiter);
  // Requires: waiting.
  Waiter take(RequestId id);
  // It will wait as long as it takes. Requires: waiting.
  void clear_deadline(RequestId id);

  // Its next engine is its last. Requires: waiting.
  void mark_retried(RequestId id);

  // nullptr if not waiting.
  const Waiter* find(RequestId id) const;
  const Lines& lines(const ModelId& model) const;
  // Waiting leases and loads of all models.
  std::size_t wanting() const { return wanting_; }
  std::size_t leases() const { return leases_; }
  std::size_t size() const { return waiters_.size(); }
  std::optional<TimePoint> next_deadline() const;
  // In the order of their deadlines.
  std::vector<RequestId> expired(TimePoint now) const;

  void check_invariants() const;

 private:
  static Line& line_of(Lines& lines, WaitKind kind);
  // The line that a lease has a place in beside the one of all leases.
  static Line& lease_line(Lines& lines, const Waiter& waiter);

  std::map<RequestId, Waiter> waiters_;
  std::unordered_map<ModelId, Lines> lines_;  // no entry for a model without waiters
  std::set<std::pair<TimePoint, RequestId>> deadlines_;
  std::size_t wanting_ = 0;
  std::size_t leases_ = 0;
  std::uint64_t next_place_ = 1;
};

}  // namespace minerva
