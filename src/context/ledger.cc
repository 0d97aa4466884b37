#include "context/ledger.h"

#include <algorithm>

#include "minerva/base/check.h"

namespace minerva {

bool Room::fits(Bytes footprint) const {
  return (max_models == 0 || slots < max_models) && committed <= budget && footprint <= budget - committed;
}

bool Room::within() const { return (max_models == 0 || slots <= max_models) && committed <= budget; }

void Room::take(Bytes footprint) {
  committed += footprint;
  ++slots;
}

void Room::give_back(Bytes memory, bool slot) {
  committed -= memory;
  if (slot) --slots;
}

Ledger::Ledger(Bytes budget, std::size_t max_models) { set_limits(budget, max_models); }

void Ledger::set_limits(Bytes budget, std::size_t max_models) {
  budget_ = budget;
  max_models_ = max_models;
  bytes_ceiling_ = std::max(budget_, reserved_);
  slots_ceiling_ = max_models_ == 0 ? SIZE_MAX : std::max(max_models_, slots_);
}

Ledger::Entry& Ledger::entry(EngineId engine) {
  const auto it = entries_.find(engine);
  check(it != entries_.end(), "an engine that holds nothing is booked");
  return it->second;
}

void Ledger::subtract(const Entry& entry) {
  reserved_ -= entry.memory;
  slots_ -= entry.slot ? 1 : 0;
  if (entry.leaving) {
    leaving_ -= entry.memory - entry.stays;
    slots_leaving_ -= entry.slot ? 1 : 0;
  }
  images_ -= entry.image;
}

void Ledger::add(const Entry& entry) {
  reserved_ += entry.memory;
  slots_ += entry.slot ? 1 : 0;
  if (entry.leaving) {
    leaving_ += entry.memory - entry.stays;
    slots_leaving_ += entry.slot ? 1 : 0;
  }
  images_ += entry.image;
}

void Ledger::lower_ceilings() {
  bytes_ceiling_ = std::max(budget_, std::min(bytes_ceiling_, reserved_));
  if (max_models_ != 0) slots_ceiling_ = std::max(max_models_, std::min(slots_ceiling_, slots_));
}

void Ledger::reserve(EngineId engine, Bytes footprint) {
  check(now().fits(footprint), "memory or a slot reserved above the limit");
  const auto [it, is_new] = entries_.emplace(engine, Entry{footprint});
  check(is_new, "an engine reserved twice");
  add(it->second);
}

void Ledger::mark_leaving(EngineId engine, Bytes stays) {
  Entry& e = entry(engine);
  check(!e.leaving || stays == Bytes(), "an engine leaves twice");
  subtract(e);
  e.leaving = true;
  e.stays = std::min(stays, e.memory);
  add(e);
}

void Ledger::mark_staying(EngineId engine) {
  Entry& e = entry(engine);
  check(e.leaving, "an engine stays that did not leave");
  subtract(e);
  e.leaving = false;
  add(e);
}

void Ledger::park(EngineId engine, Bytes residue, Bytes image) {
  Entry& e = entry(engine);
  check(e.slot, "an engine is parked twice");
  subtract(e);
  e = Entry{.memory = std::min(residue, e.memory), .slot = false, .image = image};
  add(e);
  lower_ceilings();
}

void Ledger::wake(EngineId engine, Bytes footprint) {
  Entry& e = entry(engine);
  check(!e.slot && !e.leaving, "an engine wakes that is not parked");
  const Bytes more = footprint - std::min(footprint, e.memory);
  check(now().fits(more), "memory or a slot reserved above the limit");
  subtract(e);
  e.memory += more;
  e.slot = true;
  add(e);
}

void Ledger::correct(EngineId engine, Bytes footprint) {
  Entry& e = entry(engine);
  check(e.slot && !e.leaving, "the footprint of an engine is corrected that is not hot");
  subtract(e);
  e.memory = footprint;
  add(e);
  bytes_ceiling_ = std::max(bytes_ceiling_, reserved_);
  lower_ceilings();
}

void Ledger::release(EngineId engine) {
  subtract(entry(engine));
  entries_.erase(engine);
  lower_ceilings();
}

Bytes Ledger::held(EngineId engine) const {
  const auto it = entries_.find(engine);
  return it == entries_.end() ? Bytes() : it->second.memory;
}

Bytes Ledger::image(EngineId engine) const {
  const auto it = entries_.find(engine);
  return it == entries_.end() ? Bytes() : it->second.image;
}

Room Ledger::now() const { return {budget_, max_models_, reserved_, slots_}; }

Room Ledger::after_exits() const { return {budget_, max_models_, reserved_ - leaving_, slots_ - slots_leaving_}; }

void Ledger::check_invariants() const {
  Ledger again(budget_, max_models_);
  for (const auto& [engine, e] : entries_) again.add(e);
  check(again.reserved_ == reserved_ && again.slots_ == slots_, "the sums are not those of the reservations");
  check(again.leaving_ == leaving_ && again.slots_leaving_ == slots_leaving_, "the leaving sums are wrong");
  check(again.images_ == images_, "the images' sum is wrong");
  check(reserved_ <= bytes_ceiling_, "reserved memory exceeds the budget");
  check(slots_ <= slots_ceiling_, "more engines than max_models");
}

}  // namespace minerva
