// The life between hot and parked, as the core sees it. A model that is being parked keeps its memory reserved until
// EngineParked, and a wake reserves it again before it begins.
#include <fmt/format.h>

#include <algorithm>

#include "context/impl.h"
#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

// A disk that was full a moment ago is still full.
constexpr Duration kParkedAgainAfter = std::chrono::seconds(30);
// An engine may still work on a request whose client went away. It is asked again to park, but not for ever, unless an
// operator waits for it.
constexpr unsigned kMostBusyRefusals = 20;

}  // namespace

void ContextManager::Impl::park(Model& m, std::string reason, const ModelId& victim_of, bool to_make_room) {
  check(m.state() == ModelState::kHot && m.leases.empty(), "a model is parked that works");
  guess_wasted(m);
  m.phase = phase::Parking{to_make_room, victim_of};
  m.draining = false;
  state_.ledger.mark_leaving(*m.engine, state_.expected_residue(m));
  decide(DecisionKind::kPark, m, reason);
  // From now on an operator's park only waits for its end, which always comes.
  for (const auto& [place, id] : state_.queue.lines(m.id).parks) state_.queue.clear_deadline(id);
  refresh_evictable(m);
  actions_.emplace_back(Park{*m.engine, m.id, state_.image_room(m), std::move(reason), victim_of, to_make_room});
}

void ContextManager::Impl::become_parked(Model& m, const EngineParked& event) {
  const auto park = std::get<phase::Parking>(std::exchange(m.phase, phase::Parked()));
  m.residue = event.residue;
  m.run.image = event.image;
  m.run.cached = event.cached;
  m.run.busy_refusals = 0;
  m.evicted.clear();
  ++m.parks;
  Footprint stays = event.residue;
  if (planted_bug(PlantedBug::kDeviceStaysTaken)) {
    stays = state_.ledger.held(*m.engine);
    stays.set(Footprint::kHost, event.residue.host());
  }
  state_.ledger.park(*m.engine, planted_bug(PlantedBug::kParkedHoldsNothing) ? Footprint() : stays, event.image);
  if (park.to_make_room) {
    state_.cache.count_eviction(m.id);
    const auto newcomer = state_.models.find(park.made_for);
    if (newcomer != state_.models.end()) newcomer->second.evicted.push_back(m.id);
  }
  refresh_entry(m);
  finish_parks(m, /*changed=*/true);
}

bool ContextManager::Impl::asks_again(Model& m) const {
  const RequestQueue::Line& parks = state_.queue.lines(m.id).parks;
  const bool patient = std::any_of(parks.begin(), parks.end(), [&](const auto& waiting) {
    return state_.queue.find(waiting.second)->patient_until > state_.now;
  });
  return ++m.run.busy_refusals < kMostBusyRefusals || patient;
}

void ContextManager::Impl::stay_hot(Model& m, const Error& reason, Bytes image_wanted) {
  m.phase = phase::Hot();
  if (planted_bug(PlantedBug::kRefusedParkFrees)) {
    state_.ledger.park(*m.engine, Bytes(), Bytes());
  } else {
    state_.ledger.mark_staying(*m.engine);
  }
  if (image_wanted > Bytes()) {
    m.run.image = image_wanted;
    if (image_wanted > state_.options.parking.images) m.run.not_parked_before = after(state_.now, kParkedAgainAfter);
  } else if (reason.code == ErrorCode::kConflict && asks_again(m)) {
    refresh_evictable(m);
    return;  // the calls that wanted it parked still wait
  } else {
    m.run.busy_refusals = 0;
    m.run.not_parked_before = after(state_.now, kParkedAgainAfter);
  }
  reject_parks(m, {ErrorCode::kConflict,
                   fmt::format("{} stays as it is, since it cannot be parked: {}", in_quotes(m.id), reason.message)});
  refresh_evictable(m);
}

void ContextManager::Impl::wake(Model& m) {
  check(m.state() == ModelState::kParked, "a model is woken that is not parked");
  decide_start(m, DecisionKind::kWake);
  if (m.guess) ++guesses_.made;
  m.phase = phase::Waking{state_.now, state_.ledger.held(*m.engine)};
  if (!planted_bug(PlantedBug::kWakeWithoutRoom)) state_.ledger.wake(*m.engine, m.footprint);
  refresh_entry(m);
  actions_.emplace_back(Wake{*m.engine, m.id});
}

void ContextManager::Impl::become_awake(Model& m, const EngineWoken& event) {
  learn_wake_time(m);
  m.phase = phase::Hot();
  m.run.cached = event.cached;
  make_way(event);
  m.run.cached += event.missing;
  m.run.hot_since = state_.now;
  m.read_on_guess = false;
  ++m.wakes;
  state_.cache.reinsert(m.id, state_.now);
  serve(m, /*just_loaded=*/true);
  m.evicted.clear();
  refresh_entry(m);
}

void ContextManager::Impl::stay_parked(Model& m, const Error& reason) {
  const auto wake = std::get<phase::Waking>(std::exchange(m.phase, phase::Parked()));
  if (!planted_bug(PlantedBug::kRefusedWakeHolds)) {
    state_.ledger.park(*m.engine, wake.kept, state_.ledger.image(*m.engine));
  }
  if (m.guess) {
    guess_failed(m);
    guess_wasted(m);
  }
  refresh_entry(m);
  // Where no device is short, nothing that others do makes it wake. Requests for it get a fresh engine.
  if (!deny(m.footprint - wake.kept)) stop(m, "it could not be woken: " + reason.message);
}

// The device did not say before that it is full, so how much other programs have there is not known. It is less than
// what is needed: either other models leave the device, one after the other until the next try succeeds, or there are
// none, and the model goes elsewhere.
bool ContextManager::Impl::deny(const Footprint& needs) {
  constexpr Duration kTriedAgainAfter = std::chrono::seconds(30);
  const bool denied = state_.denial && state_.now < state_.denial->until;
  Footprint limit = denied ? state_.denial->limit : Footprint::unbounded();
  bool on_device = false;
  for (std::size_t pool = Footprint::kHost + 1; pool < Footprint::kPools; ++pool) {
    if (needs.of(pool) == Bytes()) continue;
    on_device = true;
    limit.set(pool, std::min(limit.of(pool), state_.ledger.reserved().of(pool) + needs.of(pool) - Bytes(1)));
  }
  if (!on_device || planted_bug(PlantedBug::kRefusedWakeRepeats)) return on_device;
  state_.denial = {limit, after(state_.now, kTriedAgainAfter)};
  apply_limits();
  return true;
}

void ContextManager::Impl::apply_limits() { state_.ledger.set_limits(state_.limit(), state_.options.max_models); }

void ContextManager::Impl::finish_parks(Model& m, bool changed) {
  while (!state_.queue.lines(m.id).parks.empty()) {
    const Waiter waiter = take(state_.queue.lines(m.id).parks.begin()->second);
    actions_.emplace_back(Done{.request = waiter.id,
                               .model = m.id,
                               .changed = changed,
                               .took = state_.now - waiter.arrived,
                               .footprint = state_.ledger.held(*m.engine).total()});
  }
}

void ContextManager::Impl::advance_park(Model& m) {
  // Nothing wants it awake any more.
  if (m.state() == ModelState::kParked && !state_.wanted(m)) return finish_parks(m, /*changed=*/false);
  if (m.state() != ModelState::kHot || !m.leases.empty() || m.run.stalled) return;
  const RequestQueue::Lines& lines = state_.queue.lines(m.id);
  const bool owed = lines.oldest().value_or(UINT64_MAX) < lines.first_park();
  if (owed && !m.draining) return;  // the requests that came before are served first
  if (lines.first_unload() < lines.first_park()) return;
  if (!state_.parkable(m)) return reject_parks(m, cannot_park(m));
  switch (make_image_room(m)) {
    case ImageRoom::When::kNow:
      return park(m, "parked " + asked_by(state_.queue.lines(m.id).parks), {}, /*to_make_room=*/false);
    case ImageRoom::When::kLater:
      return;
    case ImageRoom::When::kNever:
      return reject_parks(
          m, {ErrorCode::kConflict,
              fmt::format("{} cannot be parked: its image takes {} MiB, and all images together may "
                          "take {} MiB; raise park.images or unload it instead",
                          in_quotes(m.id), m.run.image.rounded_mib(), state_.options.parking.images.rounded_mib())});
  }
}

// ---- what leaves by itself ----

void ContextManager::Impl::note_ttl(const Model& m) {
  if (!state_.idle(m)) return;
  const TimePoint since = state_.idle_since(m);
  // The timer is due at once if the model became idle only after expire_idle() had looked.
  if (m.ttl > Duration::zero() && m.state() == ModelState::kHot) {
    note_timer(std::max({after(since, m.ttl), m.run.not_parked_before, state_.now}));
  }
  if (m.unload_ttl > Duration::zero()) note_timer(std::max(after(since, m.unload_ttl), state_.now));
}

void ContextManager::Impl::expire_idle() {
  for (auto& [id, m] : state_.models) {
    if ((m.ttl == Duration::zero() && m.unload_ttl == Duration::zero()) || !state_.idle(m)) continue;
    const TimePoint since = state_.idle_since(m);
    if (m.unload_ttl > Duration::zero() && state_.now >= after(since, m.unload_ttl)) {
      stop(m, "it was idle for unload_ttl");
      continue;
    }
    if (m.ttl == Duration::zero() || m.state() != ModelState::kHot || state_.now < after(since, m.ttl)) continue;
    if (!m.run.can_park || !state_.options.parking.enabled) {
      stop(m, "it was idle for ttl");
    } else if (state_.parkable(m)) {
      if (make_image_room(m) == ImageRoom::When::kNow) {
        park(m, "it was idle for ttl", {}, /*to_make_room=*/false);
      } else {
        m.run.not_parked_before = after(state_.now, kParkedAgainAfter);
      }
    }
  }
}

void ContextManager::Impl::give_back(Bytes short_by) {
  // How much is lacking beyond what was told to leave and is on its way.
  const auto lacking = [&] {
    const Bytes coming = (state_.ledger.reserved() - state_.ledger.after_exits().committed).host();
    return coming < short_by;
  };
  for (Model* m = idle_guess(); m != nullptr && lacking(); m = idle_guess()) {
    withdraw(*m, "loaded on a guess, it leaves as the machine's memory is short");
  }
  if (!lacking()) return;
  state_.cache.refresh(state_.now);
  std::vector<Model*> hot;
  std::vector<Model*> parked;
  bool dropped = false;
  state_.cache.visit_victims([&](const CacheEntry& entry) {
    Model& m = state_.models.at(entry.id);
    (m.state() == ModelState::kHot ? hot : parked).push_back(&m);
    return true;
  });
  for (const bool kept : {false, true}) {
    for (Model* m : parked) {
      if (m->keeps_pages != kept || std::exchange(m->run.cached, Bytes()) == Bytes()) continue;
      actions_.emplace_back(DropPages{*m->engine, m->id, Bytes(UINT64_MAX)});
      dropped = true;
    }
    if (dropped) return;  // the next event says whether that was enough
  }
  for (Model* m : hot) {
    if (!lacking()) return;
    const bool frees =
        state_.parkable(*m) && state_.expected_residue(*m).host() < state_.ledger.held(*m->engine).host();
    const ImageRoom::When image = frees ? make_image_room(*m) : ImageRoom::When::kNever;
    if (image == ImageRoom::When::kNow) {
      park(*m, "parked, as the machine's memory is short", {}, /*to_make_room=*/true);
    } else if (lacking()) {  // what was stopped to make room for its image may have been enough
      evict(*m, "evicted, as the machine's memory is short", {});
    }
  }
  for (Model* m : parked) {
    // Some models may have been stopped to make room for an image.
    if (lacking() && m->state() == ModelState::kParked) evict(*m, "evicted, as the machine's memory is short", {});
  }
}

// The kernel drops the pages that were used longest ago. If two models take turns, these are first the pages of the
// other one and then, while those are read again, the pages that this one is about to read. So in each turn all pages
// are read.
void ContextManager::Impl::make_way(const EngineWoken& woken) {
  Bytes of_models;
  std::vector<Model*> parked;
  for (auto& [id, m] : state_.models) {
    of_models += m.run.cached;
    const bool keeps = m.keeps_pages && !planted_bug(PlantedBug::kKeptPagesDropped);
    if (m.state() == ModelState::kParked && m.run.cached > Bytes() && !keeps) parked.push_back(&m);
  }
  // Pages of other files are enough, and the kernel finds them.
  if (woken.page_cache - of_models >= woken.displaced) return;
  state_.cache.refresh(state_.now);
  std::ranges::sort(parked, {}, [this](const Model* m) { return state_.cache.rank(m->id); });
  Bytes left = woken.displaced;
  for (Model* m : parked) {
    const Bytes bytes = std::min(left, m->run.cached);
    if (bytes == Bytes()) return;
    left -= bytes;
    if (!planted_bug(PlantedBug::kGivesBackTwice)) m->run.cached -= bytes;
    actions_.emplace_back(DropPages{*m->engine, m->id, bytes});
  }
}

// ---- sentences ----

Error ContextManager::Impl::cannot_park(const Model& m) const {
  const std::string_view why = !state_.options.parking.enabled ? "parking is switched off"
                               : !m.run.can_park               ? "its engine has no way to"
                                                               : "it was tried in vain a moment ago";
  return {ErrorCode::kNotSupported, fmt::format("{} cannot be parked: {}; unload it instead", in_quotes(m.id), why)};
}

Error ContextManager::Impl::memory_short_error(const Model& m) const {
  constexpr int kRetryAfter = 5;
  return {ErrorCode::kNoCapacity,
          fmt::format("{} is not loaded, and the machine's memory is short at present; try again later, or end what "
                      "else takes memory",
                      in_quotes(m.id)),
          {},
          kRetryAfter};
}

Error ContextManager::Impl::device_full_error(const Model& m) const {
  constexpr int kRetryAfter = 5;
  std::string where = "its device";
  for (std::size_t i = 0; i < state_.options.devices.size(); ++i) {
    if (m.footprint.of(i + 1) > state_.ledger.budget().of(i + 1)) {
      where = fmt::format("the device {}", in_quotes(state_.options.devices[i].id));
      break;
    }
  }
  return {ErrorCode::kNoCapacity,
          fmt::format("{} is not loaded: {} has no room for it, as other programs have its memory; try again later, or "
                      "end what else uses it",
                      in_quotes(m.id), where),
          {},
          kRetryAfter};
}

}  // namespace minerva
