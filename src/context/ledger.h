// Ledger: what each engine holds of the budget, from before its Spawn until after its reap; and of the disk, its image.
//
// An engine holds memory and, unless it is parked, one of max_models slots. What is on its way out (to a stop or a
// park) is held until it is gone. Threading: one thread. It grants nothing by itself: whoever reserves has asked fits()
// first.
#pragma once

#include <cstddef>
#include <map>

#include "minerva/base/bytes.h"
#include "minerva/base/ids.h"
#include "minerva/context/footprint.h"

namespace minerva {

// A limit in bytes of each pool and hot models, and what is committed of it. A value: plans are made on copies.
struct Room {
  Footprint budget;
  std::size_t max_models = 0;  // 0: no such limit
  Footprint committed;         // may exceed the budget after it shrank, or by claims that must wait
  std::size_t slots = 0;       // of max_models, taken

  // So much more, in another slot.
  bool fits(const Footprint& footprint) const;
  // Within its limits as it is.
  bool within() const;
  void take(const Footprint& footprint);
  void give_back(const Footprint& memory, bool slot);
};

class Ledger {
 public:
  Ledger(const Footprint& budget, std::size_t max_models);

  // A smaller limit takes nothing away: what is held stays held until released.
  void set_limits(const Footprint& budget, std::size_t max_models);
  // Requires: fits in now(), and `engine` holds nothing.
  void reserve(EngineId engine, const Footprint& footprint);
  // It was told to stop or to park; what it holds beyond `stays` will come back, and its slot. Told to stop while it
  // parks: the latter counts. Requires: it holds something.
  void mark_leaving(EngineId engine, const Footprint& stays);
  // It stays as it is after all. Requires: leaving.
  void mark_staying(EngineId engine);
  // It is parked: what is left is `residue` (or what it held, if that is less), and its image on disk has `image`.
  // Requires: it has a slot.
  void park(EngineId engine, const Footprint& residue, Bytes image);
  // It gets a slot again and holds `footprint`. Requires: parked, not leaving, and what that adds fits in now().
  void wake(EngineId engine, const Footprint& footprint);
  // It holds something else than was thought, be it beyond the limits. Requires: it has a slot and is not leaving.
  void correct(EngineId engine, const Footprint& footprint);
  // Requires: it holds something.
  void release(EngineId engine);

  bool holds(EngineId engine) const { return entries_.contains(engine); }
  Footprint held(EngineId engine) const;
  Footprint budget() const { return budget_; }
  std::size_t max_models() const { return max_models_; }
  Footprint reserved() const { return reserved_; }
  std::size_t engines() const { return entries_.size(); }
  Bytes image(EngineId engine) const;
  Bytes images() const { return images_; }  // of all
  // As it is now, and as it will be once everything on its way out is gone.
  Room now() const;
  Room after_exits() const;

  // Aborts unless the sums are right and nothing was reserved above the limits (check.h).
  void check_invariants() const;

 private:
  struct Entry {
    Footprint memory;
    bool slot = true;
    bool leaving = false;
    Footprint stays{};  // if leaving
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
  std::size_t slots_ = 0;
  Footprint leaving_;
  std::size_t slots_leaving_ = 0;
  Bytes images_;
  // What may be held at most: the limits, or what was held when they shrank, as far as it has not been released since.
  Footprint bytes_ceiling_;
  std::size_t slots_ceiling_ = 0;
};

}  // namespace minerva
