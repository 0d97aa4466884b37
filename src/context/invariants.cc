// What must hold after each step. Everything is counted again from the parts.
#include <set>

#include "context/impl.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

// Whether the model has an engine with all of its memory, which loads or serves.
bool has_living_engine(const Model& m) {
  return m.state() == ModelState::kLoading || m.resident() || m.state() == ModelState::kStopping;
}

void check_engine(const State& state, const Model& m) {
  check(m.engine.has_value() == has_living_engine(m), "an engine without a living model, or the reverse");
  check(!m.run.stalled || m.engine, "a model without an engine is stalled");
  check(state.cache.contains(m.id) == m.resident(), "the cache and the states disagree");
  if (!m.engine) return;
  const auto engine = state.engines.find(*m.engine);
  check(engine != state.engines.end() && engine->second == m.id, "an engine is not its model's");
  check(state.ledger.holds(*m.engine), "an engine lives without a reservation");
  if (!m.resident()) return;
  check(state.cache.find(m.id)->footprint == state.ledger.held(*m.engine).total(), "the cache and the ledger disagree");
}

void check_leases(const State& state, const Model& m) {
  check(m.leases.empty() || m.state() == ModelState::kHot, "a lease on a model that is not hot");
  unsigned slots_taken = 0;
  bool used = false;
  for (const auto& [request, aborted] : m.leases) {
    const auto lease = state.leases.find(request);
    check(lease != state.leases.end() && lease->second.model == m.id && lease->second.engine == m.engine,
          "a lease is not filed");
    check(state.queue.find(request) == nullptr, "a granted request still waits");
    slots_taken += lease->second.slots;
    used |= !lease->second.looking;
  }
  check(slots_taken == m.slots_taken, "the slots are miscounted");
  const bool wanted = state.queue.lines(m.id).wanting() > 0;
  check(!m.guess || m.preparing() || (!used && !wanted), "a model that is used is taken for a guess");
}

// Each call that waits for the model waits for something.
void check_lines(const State& state, const Model& m) {
  const RequestQueue::Lines& lines = state.queue.lines(m.id);
  if (m.preparing()) {
    check(state.wanted(m), "a model is prepared that nobody wants");
    check(lines.unloads.empty() || (!lines.leases.empty() && lines.leases.begin()->first < lines.first_unload()),
          "a cancelled load goes on");
    check(m.state() != ModelState::kWaitingForRoom || m.footprint.within(state.ledger.budget()),
          "a model that never fits waits");
  }
  if (m.state() == ModelState::kCold) check(lines.empty() && !m.eager, "somebody waits for a cold model in vain");
  if (m.state() == ModelState::kHot && !m.draining && !m.run.outdated && !m.run.stalled) {
    const std::uint64_t first_load = lines.loads.empty() ? UINT64_MAX : lines.loads.begin()->first;
    check(first_load >= lines.first_leave() && !state.can_grant(m), "somebody waits for a hot model in vain");
  }
  if (!m.known) check(has_living_engine(m) && lines.wanting() == 0, "a removed model is not forgotten");
}

// What has to leave does leave, and nothing else does.
void check_departures(const State& state, const Model& m) {
  const RequestQueue::Lines& lines = state.queue.lines(m.id);
  // A park waits for room on disk, requests wait for the park, and the unload is to come after these requests.
  const bool parks_first = lines.first_park() < lines.first_unload() && !lines.leases.empty() &&
                           lines.leases.begin()->first < lines.first_unload();
  const bool may_stay = m.known && !m.run.outdated && !state.draining && (lines.unloads.empty() || parks_first);
  // A stalled engine leaves by itself.
  const bool idle_hot = m.state() == ModelState::kHot && m.leases.empty() && !m.run.stalled;
  check(!idle_hot || may_stay, "a model that should leave stays");
  check(m.state() != ModelState::kParked || may_stay || state.wanted(m) || m.run.stalled,
        "a parked model that should leave stays");
  check(!m.draining || m.state() == ModelState::kHot, "only a hot model drains");
  check(!m.guess || m.preparing() || m.state() == ModelState::kLoading || m.state() == ModelState::kWaking ||
            m.state() == ModelState::kHot,
        "a guess is kept of a model that is out");
}

void check_victims(const State& state) {
  std::set<ModelId> idle_ones;
  for (const auto& [id, m] : state.models) {
    if (m.resident() && state.idle(m)) idle_ones.insert(id);
  }
  state.cache.visit_victims([&](const CacheEntry& entry) {
    check(idle_ones.erase(entry.id) == 1, "a busy or pinned model may be evicted");
    return true;
  });
  check(idle_ones.empty(), "an idle model cannot be evicted");
}

}  // namespace

void ContextManager::Impl::check_invariants() const {
  state_.ledger.check_invariants();
  state_.queue.check_invariants();
  std::size_t engines = 0;
  std::size_t resident = 0;
  std::size_t removed = 0;
  std::size_t guesses = 0;
  for (const auto& [id, m] : state_.models) {
    check(m.id == id, "a model is filed under another's id");
    check_engine(state_, m);
    check_leases(state_, m);
    check_lines(state_, m);
    check_departures(state_, m);
    engines += m.engine ? 1 : 0;
    resident += m.resident() ? 1 : 0;
    removed += m.known ? 0 : 1;
    guesses += m.guess && m.engine ? 1 : 0;
  }
  check_victims(state_);
  check(engines == state_.engines.size() && engines == state_.ledger.engines(), "an engine of no model");
  check(guesses_.made == guesses_.used + guesses_.wasted + guesses, "a guess is not accounted for");
  check(removed == state_.removed_models, "the removed models are miscounted");
  check(resident == state_.cache.size(), "the cache holds a model that does not exist");
  const std::size_t open = state_.queue.leases() + state_.leases.size();
  check(counts_.accepted == counts_.ended() + open, "a request is not accounted for");
  check(!state_.draining || state_.queue.wanting() == 0, "somebody waits although the server drains");
  check(!timer_ || *timer_ >= state_.now, "a timer is overdue");
}

}  // namespace minerva
