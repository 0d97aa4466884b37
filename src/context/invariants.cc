// What must hold after each step. Everything is counted again from the parts.
#include <set>

#include "context/impl.h"
#include "minerva/base/check.h"

namespace minerva {

void ContextManager::Impl::check_invariants() const {
  ledger_.check_invariants();
  queue_.check_invariants();
  std::size_t engines = 0;
  std::size_t resident = 0;
  std::size_t removed = 0;
  std::size_t guesses = 0;
  std::set<ModelId> idle_ones;
  for (const auto& [id, m] : models_) {
    const bool alive = m.state == ModelState::kLoading || m.resident() || m.state == ModelState::kStopping;
    check(m.id == id, "a model is filed under another's id");
    check(m.engine.has_value() == alive, "an engine without a living model, or the reverse");
    if (m.engine) {
      ++engines;
      const auto engine = engines_.find(*m.engine);
      check(engine != engines_.end() && engine->second == id, "an engine is not its model's");
      check(ledger_.holds(*m.engine), "an engine lives without a reservation");
    }
    check(cache_.contains(id) == m.resident(), "the cache and the states disagree");
    if (m.resident()) {
      ++resident;
      check(cache_.find(id)->footprint == ledger_.held(*m.engine), "the cache and the ledger disagree");
      if (idle(m)) idle_ones.insert(id);
    }
    check(m.state != ModelState::kParked ||
              (m.known && !m.outdated && !draining_ && queue_.lines(id).unloads.empty()) || wanted(m) || m.stalled,
          "a parked model that should leave stays");
    check(m.leases.empty() || m.state == ModelState::kHot, "a lease on a model that is not hot");
    unsigned slots_taken = 0;
    bool used = false;
    for (const auto& [request, aborted] : m.leases) {
      const auto lease = leases_.find(request);
      check(lease != leases_.end() && lease->second.model == id && lease->second.engine == m.engine,
            "a lease is not filed");
      check(queue_.find(request) == nullptr, "a granted request still waits");
      slots_taken += lease->second.slots;
      used |= !lease->second.looking;
    }
    check(slots_taken == m.slots_taken, "the slots are miscounted");
    const RequestQueue::Lines& lines = queue_.lines(id);
    if (m.preparing()) {
      check(wanted(m), "a model is prepared that nobody wants");
      check(lines.unloads.empty() || (!lines.leases.empty() && lines.leases.begin()->first < lines.first_unload()),
            "a cancelled load goes on");
      check(m.state != ModelState::kWaitingForRoom || m.footprint <= ledger_.budget(), "a model that never fits waits");
    }
    if (m.state == ModelState::kCold) check(lines.empty() && !m.eager, "somebody waits for a cold model in vain");
    if (m.state == ModelState::kHot && !m.draining && !m.outdated && !m.stalled) {
      const std::uint64_t first_load = lines.loads.empty() ? UINT64_MAX : lines.loads.begin()->first;
      check(first_load >= lines.first_leave() && !can_grant(m), "somebody waits for a hot model in vain");
    }
    check(!m.stalled || m.engine, "a model without an engine is stalled");
    // One that stalled leaves by itself.
    if (m.state == ModelState::kHot && m.leases.empty() && !m.stalled) {
      check(m.known && !m.outdated && !draining_ && lines.unloads.empty(), "a model that should leave stays");
    }
    removed += m.known ? 0 : 1;
    if (!m.known) check(alive && lines.wanting() == 0, "a removed model is not forgotten");
    check(!m.guess || m.preparing() || m.state == ModelState::kLoading || m.state == ModelState::kWaking ||
              m.state == ModelState::kHot,
          "a guess is kept of a model that is out");
    if (m.guess && m.engine) ++guesses;
    check(!m.guess || m.preparing() || (!used && lines.wanting() == 0), "a model that is used is taken for a guess");
    check(!m.draining || m.state == ModelState::kHot, "only a hot model drains");
  }
  check(engines == engines_.size() && engines == ledger_.engines(), "an engine of no model");
  check(guesses_.made == guesses_.used + guesses_.wasted + guesses, "a guess is not accounted for");
  check(removed == removed_models_, "the removed models are miscounted");
  check(resident == cache_.size(), "the cache holds a model that does not exist");
  cache_.visit_victims([&](const CacheEntry& entry) {
    check(idle_ones.erase(entry.id) == 1, "a busy or pinned model may be evicted");
    return true;
  });
  check(idle_ones.empty(), "an idle model cannot be evicted");
  check(counts_.accepted == counts_.ended() + queue_.leases() + leases_.size(), "a request is not accounted for");
  check(!draining_ || queue_.wanting() == 0, "somebody waits although the server drains");
  check(!timer_ || *timer_ >= now_, "a timer is overdue");
}

}  // namespace minerva
