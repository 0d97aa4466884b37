// Ledger: what each engine holds of the budget, from before its Spawn until after its reap; and of the disk, its image.
//
// An engine holds memory. It is *active* unless it is parked; max_models bounds the number of active engines. An engine
// that is told to stop or to park holds its memory until it has stopped or parked. The ledger grants nothing by itself:
// its caller has to ask fits() before it reserves. Threading: one thread.
#pragma once

#include <cstddef>
#include <map>

#include "minerva/base/bytes.h"
#include "minerva/base/ids.h"
#include "minerva/context/footprint.h"

namespace minerva {

// The limits, and how much of them is taken. A value: plans are made on copies.
struct Room {
  Footprint budget;
  std::size_t max_models = 0;  // 0: no such limit
  Footprint committed;         // may exceed the budget after that shrank, or by the needs of claimants that must wait
  std::size_t active = 0;      // engines

  // Whether one more engine may be active.
  bool has_place() const { return max_models == 0 || active < max_models; }
  // Whether `footprint` fits into the pool. A pool of which it needs nothing is never in its way.
  bool has_memory(std::size_t pool, const Footprint& footprint) const;
  // Whether one more active engine with this footprint fits.
  bool fits(const Footprint& footprint) const;
  // Whether what is taken is within the limits.
  bool within() const;
  // One more engine is active, with this footprint.
  void take(const Footprint& footprint);
  // `ends_active`: an active engine stops or parks.
  void give_back(const Footprint& memory, bool ends_active);
};

class Ledger {
 public:
  Ledger(const Footprint& budget, std::size_t max_models);

  // A smaller limit takes nothing away: what is held stays held until released.
  void set_limits(const Footprint& budget, std::size_t max_models);
  // Requires: fits in now(), and `engine` holds nothing.
  void reserve(EngineId engine, const Footprint& footprint);
  // The engine was told to stop or to park: what it holds beyond `stays` will come back. An engine that was told to
  // park may be told to stop after that. Requires: it holds something.
  void mark_leaving(EngineId engine, const Footprint& stays);
  // The engine refused to park, and stays as it is. Requires: leaving.
  void mark_staying(EngineId engine);
  // The engine has parked: it keeps `residue` (or what it held, if that is less), and its image on disk has `image`.
  // Requires: active.
  void park(EngineId engine, const Footprint& residue, Bytes image);
  // A parked engine is active again, and holds `footprint`. Requires: parked, not leaving, and what that adds fits in
  // now().
  void wake(EngineId engine, const Footprint& footprint);
  // The engine holds `footprint`, as was measured, even if that is beyond the limits. Requires: active, not leaving.
  void correct(EngineId engine, const Footprint& footprint);
  // The engine is gone. Requires: it holds something.
  void release(EngineId engine);

  bool holds(EngineId engine) const { return entries_.contains(engine); }
  Footprint held(EngineId engine) const;
  Footprint budget() const { return budget_; }
  std::size_t max_models() const { return max_models_; }
  Footprint reserved() const { return reserved_; }
  std::size_t engines() const { return entries_.size(); }
  Bytes image(EngineId engine) const;
  Bytes images() const { return images_; }  // of all
  // The room now, and the room once all engines that leave are gone or parked.
  Room now() const;
  Room after_exits() const;

  // Aborts unless the sums are right and nothing was reserved above the limits (check.h).
  void check_invariants() const;

 private:
  struct Entry {
    Footprint memory;
    bool active = true;
    bool leaving = false;
    Footprint stays{};  // of a leaving one
    Bytes image{};
  };

  Entry& entry(EngineId engine);
  // Takes the entry out of the sums, and adds it again.
  void subtract(const Entry& entry);
  void add(const Entry& entry);
  void lower_ceilings();

  Footprint budget_;
  std::size_t max_models_ = 0;
  std::map<EngineId, Entry> entries_;
  // Sums over the entries.
  Footprint reserved_;
  std::size_t active_ = 0;
  Footprint leaving_;
  std::size_t active_leaving_ = 0;
  Bytes images_;
  // What may be held at most: the limits, or what was held when they shrank, as far as it has not been released since.
  Footprint bytes_ceiling_;
  std::size_t active_ceiling_ = 0;
};

}  // namespace minerva
