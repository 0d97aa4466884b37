#include "context/ledger.h"

#include <algorithm>

#include "minerva/base/check.h"

namespace minerva {

bool Room::fits(Bytes footprint) const {
  return (max_models == 0 || engines < max_models) && committed <= budget && footprint <= budget - committed;
}

bool Room::within() const { return (max_models == 0 || engines <= max_models) && committed <= budget; }

void Room::take(Bytes footprint) {
  committed += footprint;
  ++engines;
}

void Room::give_back(Bytes footprint) {
  committed -= footprint;
  --engines;
}

Ledger::Ledger(Bytes budget, std::size_t max_models) { set_limits(budget, max_models); }

void Ledger::set_limits(Bytes budget, std::size_t max_models) {
  budget_ = budget;
  max_models_ = max_models;
  bytes_ceiling_ = std::max(budget_, reserved_);
  engines_ceiling_ = max_models_ == 0 ? SIZE_MAX : std::max(max_models_, entries_.size());
}

void Ledger::reserve(EngineId engine, Bytes footprint) {
  check(now().fits(footprint), "memory or a slot reserved above the limit");
  check(entries_.emplace(engine, Entry{footprint}).second, "an engine reserved twice");
  reserved_ += footprint;
}

void Ledger::mark_leaving(EngineId engine) {
  const auto it = entries_.find(engine);
  check(it != entries_.end() && !it->second.leaving, "an engine that holds nothing cannot leave");
  it->second.leaving = true;
  leaving_ += it->second.footprint;
  ++engines_leaving_;
}

void Ledger::release(EngineId engine) {
  const auto it = entries_.find(engine);
  check(it != entries_.end(), "an engine that holds nothing was released");
  reserved_ -= it->second.footprint;
  if (it->second.leaving) {
    leaving_ -= it->second.footprint;
    --engines_leaving_;
  }
  entries_.erase(it);
  bytes_ceiling_ = std::max(budget_, std::min(bytes_ceiling_, reserved_));
  if (max_models_ != 0) engines_ceiling_ = std::max(max_models_, std::min(engines_ceiling_, entries_.size()));
}

Bytes Ledger::held(EngineId engine) const {
  const auto it = entries_.find(engine);
  return it == entries_.end() ? Bytes() : it->second.footprint;
}

Room Ledger::now() const { return {budget_, max_models_, reserved_, entries_.size()}; }

Room Ledger::after_exits() const {
  return {budget_, max_models_, reserved_ - leaving_, entries_.size() - engines_leaving_};
}

void Ledger::check_invariants() const {
  Bytes sum;
  Bytes leaving;
  std::size_t engines_leaving = 0;
  for (const auto& [engine, entry] : entries_) {
    sum += entry.footprint;
    if (!entry.leaving) continue;
    leaving += entry.footprint;
    ++engines_leaving;
  }
  check(sum == reserved_, "the reserved sum is not the sum of the reservations");
  check(leaving == leaving_ && engines_leaving == engines_leaving_, "the leaving sum is wrong");
  check(reserved_ <= bytes_ceiling_, "reserved memory exceeds the budget");
  check(entries_.size() <= engines_ceiling_, "more engines than max_models");
}

}  // namespace minerva
