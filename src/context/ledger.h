// Ledger: what each engine holds of the budget, from before its Spawn until after its reap.
//
// Threading: one thread. It grants nothing by itself: whoever reserves has asked fits() first.
#pragma once

#include <cstddef>
#include <map>

#include "minerva/base/bytes.h"
#include "minerva/base/ids.h"

namespace minerva {

// A limit in bytes and engines, and what is committed of it. A value: plans are made on copies.
struct Room {
  Bytes budget;
  std::size_t max_models = 0;  // 0: no such limit
  Bytes committed;             // may exceed the budget after it shrank, or by claims that must wait
  std::size_t engines = 0;

  bool fits(Bytes footprint) const;
  // Within its limits as it is.
  bool within() const;
  void take(Bytes footprint);
  void give_back(Bytes footprint);
};

class Ledger {
 public:
  Ledger(Bytes budget, std::size_t max_models);

  // A smaller limit takes nothing away: what is held stays held until released.
  void set_limits(Bytes budget, std::size_t max_models);
  // Requires: fits in now(), and `engine` holds nothing.
  void reserve(EngineId engine, Bytes footprint);
  // It was told to stop; what it holds will come back. Requires: it holds something.
  void mark_leaving(EngineId engine);
  // Requires: it holds something.
  void release(EngineId engine);

  bool holds(EngineId engine) const { return entries_.contains(engine); }
  Bytes held(EngineId engine) const;
  Bytes budget() const { return budget_; }
  std::size_t max_models() const { return max_models_; }
  Bytes reserved() const { return reserved_; }
  std::size_t engines() const { return entries_.size(); }
  // As it is now, and as it will be once everything on its way out is gone.
  Room now() const;
  Room after_exits() const;

  // Aborts unless the sums are right and nothing was reserved above the limits (check.h).
  void check_invariants() const;

 private:
  struct Entry {
    Bytes footprint;
    bool leaving = false;
  };

  Bytes budget_;
  std::size_t max_models_ = 0;
  std::map<EngineId, Entry> entries_;
  Bytes reserved_;
  Bytes leaving_;
  std::size_t engines_leaving_ = 0;
  // What may be held at most: the limits, or what was held when they shrank, as far as it has not been released since.
  Bytes bytes_ceiling_;
  std::size_t engines_ceiling_ = 0;
};

}  // namespace minerva
