// What must hold after each step. Everything is counted again from the parts.
#include <set>

#include "context/impl.h"
#include "minerva/base/check.h"

namespace minerva {

void ContextManager::Impl::check_invariants() const {
  state_.ledger.check_invariants();
  state_.queue.check_invariants();
  std::size_t engines = 0;
  std::size_t resident = 0;
  std::size_t removed = 0;
  std::size_t guesses = 0;
  std::set<ModelId> idle_ones;
  for (const auto& [id, m] : state_.models) {
    const bool alive = m.state == ModelState::kLoading || m.resident() || m.state == ModelState::kStopping;
    check(m.id == id, "a model is filed under another's id");
    check(m.engine.has_value() == alive, "an engine without a living model, or the reverse");
    if (m.engine) {
      ++engines;
      const auto engine = state_.engines.find(*m.engine);
      check(engine != state_.engines.end() && engine->second == id, "an engine is not its model's");
      check(state_.ledger.holds(*m.engine), "an engine lives without a reservation");
    }
    check(state_.cache.contains(id) == m.resident(), "the cache and the states disagree");
    if (m.resident()) {
      ++resident;
      check(state_.cache.find(id)->footprint == state_.ledger.held(*m.engine), "the cache and the ledger disagree");
      if (state_.idle(m)) idle_ones.insert(id);
    }
    check(m.state != ModelState::kParked ||
              (m.known && !m.outdated && !state_.draining && state_.queue.lines(id).unloads.empty()) ||
              state_.wanted(m) || m.stalled,
          "a parked model that should leave stays");
    check(m.leases.empty() || m.state == ModelState::kHot, "a lease on a model that is not hot");
    unsigned slots_taken = 0;
    bool used = false;
    for (const auto& [request, aborted] : m.leases) {
      const auto lease = state_.leases.find(request);
      check(lease != state_.leases.end() && lease->second.model == id && lease->second.engine == m.engine,
            "a lease is not filed");
      check(state_.queue.find(request) == nullptr, "a granted request still waits");
      slots_taken += lease->second.slots;
      used |= !lease->second.looking;
    }
    check(slots_taken == m.slots_taken, "the slots are miscounted");
    const RequestQueue::Lines& lines = state_.queue.lines(id);
    if (m.preparing()) {
      check(state_.wanted(m), "a model is prepared that nobody wants");
      check(lines.unloads.empty() || (!lines.leases.empty() && lines.leases.begin()->first < lines.first_unload()),
            "a cancelled load goes on");
      check(m.state != ModelState::kWaitingForRoom || m.footprint <= state_.ledger.budget(),
            "a model that never fits waits");
    }
    if (m.state == ModelState::kCold) check(lines.empty() && !m.eager, "somebody waits for a cold model in vain");
    if (m.state == ModelState::kHot && !m.draining && !m.outdated && !m.stalled) {
      const std::uint64_t first_load = lines.loads.empty() ? UINT64_MAX : lines.loads.begin()->first;
      check(first_load >= lines.first_leave() && !state_.can_grant(m), "somebody waits for a hot model in vain");
    }
    check(!m.stalled || m.engine, "a model without an engine is stalled");
    // One that stalled leaves by itself.
    if (m.state == ModelState::kHot && m.leases.empty() && !m.stalled) {
      check(m.known && !m.outdated && !state_.draining && lines.unloads.empty(), "a model that should leave stays");
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
  check(engines == state_.engines.size() && engines == state_.ledger.engines(), "an engine of no model");
  check(guesses_.made == guesses_.used + guesses_.wasted + guesses, "a guess is not accounted for");
  check(removed == state_.removed_models, "the removed models are miscounted");
  check(resident == state_.cache.size(), "the cache holds a model that does not exist");
  state_.cache.visit_victims([&](const CacheEntry& entry) {
    check(idle_ones.erase(entry.id) == 1, "a busy or pinned model may be evicted");
    return true;
  });
  check(idle_ones.empty(), "an idle model cannot be evicted");
  check(counts_.accepted == counts_.ended() + state_.queue.leases() + state_.leases.size(),
        "a request is not accounted for");
  check(!state_.draining || state_.queue.wanting() == 0, "somebody waits although the server drains");
  check(!timer_ || *timer_ >= state_.now, "a timer is overdue");
}

}  // namespace minerva
