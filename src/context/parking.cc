// The life between hot and parked, as the core sees it: what is on its way to the image keeps its memory reserved until
// EngineParked, and a wake reserves it again before it begins.
#include <fmt/format.h>

#include <algorithm>

#include "context/impl.h"
#include "context/planted_bug.h"
#include "minerva/base/check.h"

namespace minerva {
namespace {

// Of a model that never was parked: the head (vocabulary, graph, code), and what grows with the model.
constexpr Bytes kHead = Bytes::mib(32);
constexpr std::uint64_t kShareKept = 20;

// A disk that was full a moment ago still is.
constexpr Duration kParkedAgainAfter = std::chrono::seconds(30);
// An engine that finishes what its client gave up is asked again, but not for ever.
constexpr unsigned kMostBusyRefusals = 20;

}  // namespace

bool ContextManager::Impl::parkable(const Model& m) const {
  return m.can_park && !m.stalled && options_.parking.enabled && !draining_ && now_ >= m.not_parked_before;
}

Bytes ContextManager::Impl::expected_residue(const Model& m) const {
  const Bytes held = ledger_.held(*m.engine);
  return std::min(held, m.residue.value_or(kHead + Bytes(held.count() / kShareKept)));
}

Bytes ContextManager::Impl::image_room(const Model& m) const {
  return options_.parking.images - (ledger_.images() - ledger_.image(*m.engine));
}

ContextManager::Impl::ImageRoom ContextManager::Impl::make_image_room(const Model& m) {
  Bytes room = image_room(m);
  if (m.image <= room) return ImageRoom::kNow;
  for (const auto& [id, other] : models_) {
    if (other.state == ModelState::kStopping && &other != &m) room += ledger_.image(*other.engine);
  }
  std::vector<Model*> go;
  cache_.visit_victims([&](const CacheEntry& entry) {
    Model& other = models_.at(entry.id);
    if (m.image <= room || cache_.rank(m.id) < cache_.rank(entry.id)) return false;
    if (other.state != ModelState::kParked || other.claimed || ledger_.image(*other.engine) == Bytes()) return true;
    room += ledger_.image(*other.engine);
    go.push_back(&other);
    return true;
  });
  if (m.image > room) return ImageRoom::kNever;
  for (Model* other : go) {
    evict(*other, fmt::format("evicted, as the image of {} needs its room on disk", in_quotes(m.id)), {});
  }
  return ImageRoom::kLater;
}

void ContextManager::Impl::park_to_make_room(Model& m, std::string reason, const ModelId& victim_of) {
  m.parked_to_make_room = true;
  park(m, std::move(reason), victim_of);
}

void ContextManager::Impl::park(Model& m, std::string reason, const ModelId& victim_of) {
  check(m.state == ModelState::kHot && m.leases.empty(), "a model is parked that works");
  guess_wasted(m);
  m.state = ModelState::kParking;
  m.draining = false;
  m.parked_for = victim_of;
  ledger_.mark_leaving(*m.engine, expected_residue(m));
  decide(DecisionKind::kPark, m, reason);
  // What is left of an operator's park is its end, which always comes.
  for (const auto& [place, id] : queue_.lines(m.id).parks) queue_.clear_deadline(id);
  refresh_evictable(m);
  actions_.emplace_back(Park{*m.engine, m.id, image_room(m), std::move(reason), victim_of, m.parked_to_make_room});
}

void ContextManager::Impl::become_parked(Model& m, const EngineParked& event) {
  m.state = ModelState::kParked;
  m.residue = event.residue;
  m.image = event.image;
  m.cached = event.cached;
  m.busy_refusals = 0;
  m.evicted.clear();
  ++m.parks;
  ledger_.park(*m.engine, planted_bug(PlantedBug::kParkedHoldsNothing) ? Bytes() : event.residue, event.image);
  if (std::exchange(m.parked_to_make_room, false)) {
    cache_.count_eviction(m.id);
    const auto newcomer = models_.find(m.parked_for);
    if (newcomer != models_.end()) newcomer->second.evicted.push_back(m.id);
  }
  refresh_entry(m);
  finish_parks(m, /*changed=*/true);
}

void ContextManager::Impl::stay_hot(Model& m, const Error& reason, Bytes image_wanted) {
  m.state = ModelState::kHot;
  m.parked_to_make_room = false;
  if (planted_bug(PlantedBug::kRefusedParkFrees)) {
    ledger_.park(*m.engine, Bytes(), Bytes());
  } else {
    ledger_.mark_staying(*m.engine);
  }
  if (image_wanted > Bytes()) {
    m.image = image_wanted;
    if (image_wanted > options_.parking.images) m.not_parked_before = after(now_, kParkedAgainAfter);
  } else if (reason.code == ErrorCode::kConflict && ++m.busy_refusals < kMostBusyRefusals) {
    refresh_evictable(m);
    return;  // whoever wanted it parked still does
  } else {
    m.busy_refusals = 0;
    m.not_parked_before = after(now_, kParkedAgainAfter);
  }
  reject_parks(m, {ErrorCode::kConflict,
                   fmt::format("{} stays as it is, since it cannot be parked: {}", in_quotes(m.id), reason.message)});
  refresh_evictable(m);
}

void ContextManager::Impl::wake(Model& m) {
  check(m.state == ModelState::kParked, "a model is woken that is not parked");
  decide_start(m, DecisionKind::kWake);
  if (m.guess) ++guesses_.made;
  if (!planted_bug(PlantedBug::kWakeWithoutRoom)) ledger_.wake(*m.engine, m.footprint);
  m.state = ModelState::kWaking;
  m.started = now_;
  refresh_entry(m);
  actions_.emplace_back(Wake{*m.engine, m.id});
}

void ContextManager::Impl::become_awake(Model& m, const EngineWoken& event) {
  m.state = ModelState::kHot;
  m.cached = event.cached;
  make_way(event);
  m.cached += event.missing;
  m.hot_since = now_;
  m.read_on_guess = false;
  ++m.wakes;
  learn_wake_time(m);
  cache_.reinsert(m.id, now_);
  serve(m, /*just_loaded=*/true);
  m.evicted.clear();
  refresh_entry(m);
}

void ContextManager::Impl::finish_parks(Model& m, bool changed) {
  while (!queue_.lines(m.id).parks.empty()) {
    const Waiter waiter = take(queue_.lines(m.id).parks.begin()->second);
    actions_.emplace_back(Done{.request = waiter.id,
                               .model = m.id,
                               .changed = changed,
                               .took = now_ - waiter.arrived,
                               .footprint = ledger_.held(*m.engine)});
  }
}

void ContextManager::Impl::advance_park(Model& m) {
  // Who wanted it awake is gone.
  if (m.state == ModelState::kParked && !wanted(m)) return finish_parks(m, /*changed=*/false);
  if (m.state != ModelState::kHot || !m.leases.empty() || m.stalled) return;
  const RequestQueue::Lines& lines = queue_.lines(m.id);
  const bool owed = lines.oldest().value_or(UINT64_MAX) < lines.first_park();
  if (owed && !m.draining) return;  // who asked before is served first
  if (lines.first_unload() < lines.first_park()) return;
  if (!parkable(m)) return reject_parks(m, cannot_park(m));
  switch (make_image_room(m)) {
    case ImageRoom::kNow:
      return park(m, "parked by an operator", {});
    case ImageRoom::kLater:
      return;
    case ImageRoom::kNever:
      return reject_parks(m,
                          {ErrorCode::kConflict,
                           fmt::format("{} cannot be parked: its image takes {} MiB, and all images together may "
                                       "take {} MiB; raise park.images or unload it instead",
                                       in_quotes(m.id), m.image.rounded_mib(), options_.parking.images.rounded_mib())});
  }
}

// ---- what leaves by itself ----

void ContextManager::Impl::shrink_parked() {
  Bytes residues;
  Bytes images;
  for (const auto& [id, m] : models_) {
    if (!m.engine || m.state == ModelState::kStopping) continue;
    images += ledger_.image(*m.engine);
    if (m.state == ModelState::kParked) residues += ledger_.held(*m.engine);
  }
  std::vector<Model*> go;
  cache_.visit_victims([&](const CacheEntry& entry) {
    const bool too_much = residues > options_.parking.memory;
    if (!too_much && images <= options_.parking.images) return false;
    Model& m = models_.at(entry.id);
    if (m.state != ModelState::kParked) return true;
    if (!too_much && ledger_.image(*m.engine) == Bytes()) return true;
    residues -= ledger_.held(*m.engine);
    images -= ledger_.image(*m.engine);
    go.push_back(&m);
    return true;
  });
  for (Model* m : go) evict(*m, "evicted, as parked models hold more than park.memory or park.images allows", {});
}

TimePoint ContextManager::Impl::idle_since(const Model& m) const {
  const CacheEntry* const entry = cache_.find(m.id);
  return entry->last_use_tick > 0 ? std::max(m.hot_since, entry->last_used) : m.hot_since;
}

void ContextManager::Impl::note_ttl(const Model& m) {
  if (!idle(m)) return;
  const TimePoint since = idle_since(m);
  // At once if it became idle only after expire_idle() had looked.
  if (m.ttl > Duration::zero() && m.state == ModelState::kHot) {
    note_timer(std::max({after(since, m.ttl), m.not_parked_before, now_}));
  }
  if (m.unload_ttl > Duration::zero()) note_timer(std::max(after(since, m.unload_ttl), now_));
}

void ContextManager::Impl::expire_idle() {
  for (auto& [id, m] : models_) {
    if ((m.ttl == Duration::zero() && m.unload_ttl == Duration::zero()) || !idle(m)) continue;
    const TimePoint since = idle_since(m);
    if (m.unload_ttl > Duration::zero() && now_ >= after(since, m.unload_ttl)) {
      stop(m, "it was idle for unload_ttl");
      continue;
    }
    if (m.ttl == Duration::zero() || m.state != ModelState::kHot || now_ < after(since, m.ttl)) continue;
    if (!m.can_park || !options_.parking.enabled) {
      stop(m, "it was idle for ttl");
    } else if (parkable(m)) {
      if (make_image_room(m) == ImageRoom::kNow) {
        park(m, "it was idle for ttl", {});
      } else {
        m.not_parked_before = after(now_, kParkedAgainAfter);
      }
    }
  }
}

void ContextManager::Impl::give_back(Bytes short_by) {
  // Beyond what was told to leave and is on its way.
  const auto lacking = [&] {
    const Bytes coming = ledger_.reserved() - ledger_.after_exits().committed;
    return coming < short_by;
  };
  for (Model* m = idle_guess(); m != nullptr && lacking(); m = idle_guess()) {
    withdraw(*m, "loaded on a guess, it leaves as the machine's memory is short", nullptr);
  }
  if (!lacking()) return;
  cache_.refresh(now_);
  std::vector<Model*> hot;
  std::vector<Model*> parked;
  bool dropped = false;
  cache_.visit_victims([&](const CacheEntry& entry) {
    Model& m = models_.at(entry.id);
    (m.state == ModelState::kHot ? hot : parked).push_back(&m);
    return true;
  });
  for (Model* m : parked) {
    if (std::exchange(m->cached, Bytes()) == Bytes()) continue;
    actions_.emplace_back(DropPages{*m->engine, m->id, Bytes(UINT64_MAX)});
    dropped = true;
  }
  if (dropped) return;  // whether that was enough shows next time
  for (Model* m : hot) {
    if (!lacking()) return;
    const bool frees = parkable(*m) && expected_residue(*m) < ledger_.held(*m->engine);
    const ImageRoom image = frees ? make_image_room(*m) : ImageRoom::kNever;
    if (image == ImageRoom::kNow) {
      park_to_make_room(*m, "parked, as the machine's memory is short", {});
    } else if (lacking()) {  // what was stopped for its image may have been enough
      evict(*m, "evicted, as the machine's memory is short", {});
    }
  }
  for (Model* m : parked) {
    // Some may have been stopped for an image.
    if (lacking() && m->state == ModelState::kParked) evict(*m, "evicted, as the machine's memory is short", {});
  }
}

// The kernel drops what was used the longest time ago: of models that take turns first the other one's pages, and then,
// as those are read again, those that this one is about to read, and so all of it in each turn.
void ContextManager::Impl::make_way(const EngineWoken& woken) {
  Bytes of_models;
  std::vector<Model*> parked;
  for (auto& [id, m] : models_) {
    of_models += m.cached;
    if (m.state == ModelState::kParked && m.cached > Bytes()) parked.push_back(&m);
  }
  // Pages of other files are enough, and the kernel finds them.
  if (woken.page_cache - of_models >= woken.displaced) return;
  cache_.refresh(now_);
  std::ranges::sort(parked, {}, [this](const Model* m) { return cache_.rank(m->id); });
  Bytes left = woken.displaced;
  for (Model* m : parked) {
    const Bytes bytes = std::min(left, m->cached);
    if (bytes == Bytes()) return;
    left -= bytes;
    if (!planted_bug(PlantedBug::kGivesBackTwice)) m->cached -= bytes;
    actions_.emplace_back(DropPages{*m->engine, m->id, bytes});
  }
}

// ---- sentences ----

Error ContextManager::Impl::cannot_park(const Model& m) const {
  const std::string_view why = !options_.parking.enabled ? "parking is switched off"
                               : !m.can_park             ? "its engine has no way to"
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

}  // namespace minerva
