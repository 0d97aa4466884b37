#include "context/ledger.h"

#include <algorithm>

#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {

bool Room::has_memory(std::size_t pool, const Footprint& footprint) const {
  if (pool != Footprint::kHost && planted_bug(PlantedBug::kDevicesUnbounded)) return true;
  const Bytes needs = footprint.of(pool);
  return needs == Bytes() || (committed.of(pool) <= budget.of(pool) && needs <= budget.of(pool) - committed.of(pool));
}

bool Room::fits(const Footprint& footprint) const {
  if (!has_place()) return false;
  for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) {
    if (!has_memory(pool, footprint)) return false;
  }
  return true;
}

bool Room::within() const { return (max_models == 0 || active <= max_models) && committed.within(budget); }

void Room::take(const Footprint& footprint) {
  committed += footprint;
  ++active;
}

void Room::give_back(const Footprint& memory, bool ends_active) {
  committed -= memory;
  if (ends_active) --active;
}

Ledger::Ledger(const Footprint& budget, std::size_t max_models) { set_limits(budget, max_models); }

void Ledger::set_limits(const Footprint& budget, std::size_t max_models) {
  budget_ = budget;
  max_models_ = max_models;
  bytes_ceiling_ = most(budget_, reserved_);
  active_ceiling_ = max_models_ == 0 ? SIZE_MAX : std::max(max_models_, active_);
}

Ledger::Entry& Ledger::entry(EngineId engine) {
  const auto it = entries_.find(engine);
  check(it != entries_.end(), "an engine that holds nothing is booked");
  return it->second;
}

void Ledger::subtract(const Entry& entry) {
  reserved_ -= entry.memory;
  active_ -= entry.active ? 1 : 0;
  if (entry.leaving) {
    leaving_ -= entry.memory - entry.stays;
    active_leaving_ -= entry.active ? 1 : 0;
  }
  images_ -= entry.image;
}

void Ledger::add(const Entry& entry) {
  reserved_ += entry.memory;
  active_ += entry.active ? 1 : 0;
  if (entry.leaving) {
    leaving_ += entry.memory - entry.stays;
    active_leaving_ += entry.active ? 1 : 0;
  }
  images_ += entry.image;
}

void Ledger::lower_ceilings() {
  bytes_ceiling_ = most(budget_, least(bytes_ceiling_, reserved_));
  if (max_models_ != 0) active_ceiling_ = std::max(max_models_, std::min(active_ceiling_, active_));
}

void Ledger::reserve(EngineId engine, const Footprint& footprint) {
  check(now().fits(footprint), "memory or a place reserved above the limit");
  const auto [it, is_new] = entries_.emplace(engine, Entry{footprint});
  check(is_new, "an engine reserved twice");
  add(it->second);
}

void Ledger::mark_leaving(EngineId engine, const Footprint& stays) {
  Entry& e = entry(engine);
  check(!e.leaving || stays == Footprint(), "an engine leaves twice");
  subtract(e);
  e.leaving = true;
  e.stays = least(stays, e.memory);
  add(e);
}

void Ledger::mark_staying(EngineId engine) {
  Entry& e = entry(engine);
  check(e.leaving, "an engine stays that did not leave");
  subtract(e);
  e.leaving = false;
  add(e);
}

void Ledger::park(EngineId engine, const Footprint& residue, Bytes image) {
  Entry& e = entry(engine);
  check(e.active, "an engine is parked twice");
  subtract(e);
  e = Entry{.memory = least(residue, e.memory), .active = false, .image = image};
  add(e);
  lower_ceilings();
}

void Ledger::wake(EngineId engine, const Footprint& footprint) {
  Entry& e = entry(engine);
  check(!e.active && !e.leaving, "an engine wakes that is not parked");
  const Footprint more = footprint - e.memory;
  check(now().fits(more), "memory or a place reserved above the limit");
  subtract(e);
  e.memory += more;
  e.active = true;
  add(e);
}

void Ledger::correct(EngineId engine, const Footprint& footprint) {
  Entry& e = entry(engine);
  check(e.active && !e.leaving, "the footprint of an engine is corrected that is not hot");
  subtract(e);
  e.memory = footprint;
  add(e);
  bytes_ceiling_ = most(bytes_ceiling_, reserved_);
  lower_ceilings();
}

void Ledger::release(EngineId engine) {
  subtract(entry(engine));
  entries_.erase(engine);
  lower_ceilings();
}

Footprint Ledger::held(EngineId engine) const {
  const auto it = entries_.find(engine);
  return it == entries_.end() ? Footprint() : it->second.memory;
}

Bytes Ledger::image(EngineId engine) const {
  const auto it = entries_.find(engine);
  return it == entries_.end() ? Bytes() : it->second.image;
}

Room Ledger::now() const { return {budget_, max_models_, reserved_, active_}; }

Room Ledger::after_exits() const { return {budget_, max_models_, reserved_ - leaving_, active_ - active_leaving_}; }

void Ledger::check_invariants() const {
  Ledger again(budget_, max_models_);
  for (const auto& [engine, e] : entries_) again.add(e);
  check(again.reserved_ == reserved_ && again.active_ == active_, "the sums are not those of the reservations");
  check(again.leaving_ == leaving_ && again.active_leaving_ == active_leaving_, "the leaving sums are wrong");
  check(again.images_ == images_, "the images' sum is wrong");
  check(reserved_.within(bytes_ceiling_), "reserved memory exceeds the budget");
  check(active_ <= active_ceiling_, "more engines than max_models");
}

}  // namespace minerva
