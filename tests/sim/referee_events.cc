// What each event changes, as far as an outsider can tell.
#include <algorithm>
#include <utility>

#include "sim/referee.h"

namespace minerva::sim {

void Referee::note(const ModelAdded& event) {
  SimModel& model = models_[event.model];
  // If the model, its file or its settings change, its past is forgotten.
  if (!model.known || event.outdated) model.deaths = 0;
  if (!model.known || event.pinned != model.pinned_by_catalog) model.pinned = event.pinned;
  model.pinned_by_catalog = event.pinned;
  model.known = true;
  model.ttl = event.ttl;
  model.unload_ttl = event.unload_ttl;
  model.slots = event.slots;
  model.keeps_pages = event.keeps_pages;
  model.eager |= event.preload == PreloadStrategy::kEager;
  if (model.live) {
    SimEngine& engine = engines_.at(*model.live);
    engine.outdated = event.outdated;
    if (event.outdated && !engine.stopped) {
      const bool idle = engine.leases.empty();
      ++coverage_[!engine.ready ? "outdated in load" : idle ? "outdated while idle" : "outdated while busy"];
    }
  }
  if (!event.outdated) return;
  // An inspection before the change says nothing about the new settings.
  if (model.ticket != 0) ++coverage_["outdated while inspected"];
  model.ticket = 0;
  model.inspected.reset();
}

void Referee::note(const ModelRemoved& event) {
  if (!models_.contains(event.model)) return;
  models_[event.model].known = false;
  models_[event.model].returns = false;
  models_[event.model].was_removed = true;
  models_[event.model].comes_back = false;
}

void Referee::note(const LeaseRequested& event) {
  const SimEngine* engine = resident(event.model);
  note_arrival(event.request, event.model);
  open(event.request, {.kind = SimRequest::Kind::kLease,
                       .model = event.model,
                       .deadline = event.deadline,
                       .looking = event.looking,
                       .caller = event.caller.user,
                       .slots = event.looking ? 0 : event.slots,
                       .ahead = count_ahead(event.model),
                       .outcome = engine == nullptr   ? CacheOutcome::kMiss
                                  : engine->serving() ? CacheOutcome::kHit
                                                      : CacheOutcome::kParked});
}

void Referee::note(const LoadRequested& event) {
  note_arrival(event.request, event.model);
  models_[event.model].deaths = 0;  // the operator wants the model tried again
  open(event.request, {.kind = SimRequest::Kind::kLoad,
                       .model = event.model,
                       .deadline = event.deadline,
                       .force = event.force,
                       .preload = event.preload});
}

void Referee::note(const UnloadRequested& event) {
  if (event.force) forced_out_ = event.model;
  if (const auto it = models_.find(event.model); it != models_.end()) it->second.comes_back = false;
  const bool stays = models_[event.model].pinned && !event.force;
  if (!stays) models_[event.model].returns = false;
  open(event.request,
       {.kind = SimRequest::Kind::kUnload, .model = event.model, .deadline = event.deadline, .force = event.force});
}

void Referee::note(const ParkRequested& event) {
  if (event.force) forced_out_ = event.model;
  open(event.request,
       {.kind = SimRequest::Kind::kPark, .model = event.model, .deadline = event.deadline, .force = event.force});
}

void Referee::note(const PinRequested& event) {
  open(event.request, {.kind = SimRequest::Kind::kPin, .model = event.model});
  if (const auto it = models_.find(event.model); it != models_.end() && it->second.known) {
    it->second.pinned = event.pinned;
  }
}

void Referee::note(const RequestCancelled& event) {
  const auto it = requests_.find(event.request);
  if (it == requests_.end() || it->second.status != SimRequest::Status::kOpen) return;
  if (it->second.kind == SimRequest::Kind::kLease) ++counts_.cancelled;
  close(event.request);
  ++coverage_["cancelled while waiting"];
}

void Referee::note(const LeaseReleased& event) {
  const auto it = requests_.find(event.request);
  if (it == requests_.end() || it->second.status != SimRequest::Status::kGranted) return;
  it->second.status = SimRequest::Status::kClosed;
  --granted_;
  SimEngine& engine = engines_.at(it->second.engine);
  engine.leases.erase(event.request);
  engine.slots_taken -= it->second.slots;
  constexpr Duration kQuick = std::chrono::milliseconds(300);
  if (it->second.slots > 0 && now_ - it->second.granted < kQuick) models_[engine.model].perhaps_quick = true;
  const bool looking = it->second.looking;
  engine.touched |= !looking;
  if (!engine.dead && !looking) models_[engine.model].last_active = now_;
  const bool completed = event.end == LeaseEnd::kCompleted;
  ++(completed ? counts_.completed : event.end == LeaseEnd::kFailed ? counts_.failed : counts_.cancelled);
  if (completed && !engine.dead && !looking) models_[engine.model].deaths = 0;
}

// The request waits again, as if it had just come.
void Referee::note(const LeaseLost& event) {
  const auto it = requests_.find(event.request);
  if (it == requests_.end() || it->second.status != SimRequest::Status::kGranted) return;
  SimRequest& request = it->second;
  engines_.at(request.engine).leases.erase(event.request);
  engines_.at(request.engine).slots_taken -= request.slots;
  if (SimEngine& engine = engines_.at(request.engine); !engine.dead) {
    models_[request.model].last_active = now_;
    engine.touched = true;
  }
  --granted_;
  request.status = SimRequest::Status::kOpen;
  request.arrived = now_;
  request.deadline = event.deadline;
  ++open_wanting_;
  ++open_leases_;
  deadlines_.insert(request.deadline);
  open_.insert(event.request);
  ++coverage_["lease lost"];
}

void Referee::note(const Inspected& event) {
  const auto it = models_.find(event.model);
  if (it == models_.end() || it->second.ticket != event.ticket) return;
  it->second.ticket = 0;  // only the first answer counts
  if (event.footprint) it->second.inspected = *event.footprint;
  // An answer that nobody waits for is ignored.
  const bool counts = manager_.residency(event.model, now_) == Residency::kPreparing;
  if (!event.footprint && counts) it->second.returns = false;
  if (event.footprint && counts && event.slots > 0) it->second.slots = event.slots;
  if (event.footprint && counts && event.slots > 0) ++coverage_["fewer slots, to fit"];
}

void Referee::note(const EngineReady& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end() || it->second.dead) return;
  if (!it->second.ready) it->second.can_park = event.can_park;
  note_ready(it->second);
}

void Referee::note(const EngineParked& event) {
  const auto it = engines_.find(event.engine);
  if (it != engines_.end() && it->second.resident()) note_parked(event, it->second);
}

void Referee::note(const ParkRefused& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end() || !it->second.resident()) return;
  if (it->second.parking != SimEngine::Parking::kUnderWay) return;
  it->second.parking = SimEngine::Parking::kNo;
  ++coverage_["park refused"];
}

void Referee::note(const EngineWoken& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end() || !it->second.resident()) return;
  if (it->second.parking != SimEngine::Parking::kWaking) return;
  note_woken(event, it->second);
}

void Referee::note(const WakeRefused& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end() || !it->second.resident()) return;
  SimEngine& engine = it->second;
  if (engine.parking != SimEngine::Parking::kWaking) return;
  engine.parking = SimEngine::Parking::kParked;
  const Footprint needs = engine.hot_footprint - engine.parked_footprint;
  engine.footprint = engine.parked_footprint;
  engine.on_guess = false;
  note_no_room(needs);
  ++coverage_["wake refused"];
}

void Referee::note_no_room(const Footprint& needs) {
  Footprint held;
  for (const EngineId id : live_) held += engines_.at(id).footprint;
  if (now_ >= denied_until_) denied_ = Footprint::unbounded();
  bool on_device = false;
  for (std::size_t pool = 1; pool < Footprint::kPools; ++pool) {
    if (needs.of(pool) == Bytes()) continue;
    on_device = true;
    denied_.set(pool, std::min(denied_.of(pool), held.of(pool) + needs.of(pool) - Bytes(1)));
  }
  if (on_device) denied_until_ = now_ + std::chrono::seconds(30);
}

void Referee::note(const EngineExited& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end() || it->second.dead) return;
  SimEngine& engine = it->second;
  const bool no_room = !engine.ready && !engine.stopped && event.reason.code == ErrorCode::kNoCapacity;
  SimModel& model = models_[engine.model];
  const auto [deaths, last_death] = std::pair(model.deaths, model.last_death);
  note_exit(event.engine, engine);
  if (!no_room) return;
  no_room_seen_ = true;
  model.deaths = deaths;  // the model is not to blame
  model.last_death = last_death;
  note_no_room(engine.footprint);
  ++coverage_["no room for a load"];
}

void Referee::note(const FootprintMeasured& event) {
  const auto it = engines_.find(event.engine);
  if (it == engines_.end() || !it->second.resident()) return;
  SimEngine& engine = it->second;
  // During a park the reservation stays; the new figure counts at the wake.
  if (engine.parking == SimEngine::Parking::kUnderWay) engine.hot_footprint = event.footprint;
  if (!engine.serving()) return;
  engine.footprint = engine.hot_footprint = event.footprint;
  ++coverage_["footprint measured"];
}

void Referee::note(const PressureChanged& event) {
  pressure_ = event.under_pressure;
  pressure_seen_ = pressure_seen_ || pressure_;
  ++coverage_[pressure_ ? "pressure" : "pressure ends"];
}

void Referee::note(const DevicesChanged& event) {
  available_ = event.available;
  available_.set(Footprint::kHost, Bytes(UINT64_MAX));
  ++coverage_["devices change"];
}

void Referee::note(const OptionsChanged& event) {
  const ContextOptions& options = event.options;
  const ContextOptions before = std::exchange(options_, options);
  if (before.max_switches_per_second != options.max_switches_per_second) switches_.clear();  // those by another limit
  if (before.max_queue == options.max_queue && before.load_timeout == options.load_timeout) return;
  ++coverage_["waiting limits changed"];
  if (open_wanting_ > options.max_queue) ++coverage_["waiting limits changed over full queues"];
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (!engine.ready && !engine.stopped) ++coverage_["waiting limits changed in load"];
  }
}

void Referee::note(const HistoryRestored& event) {
  expected_ = event.history.stats;
  for (const ModelHistory& past : event.history.models) {
    const auto it = models_.find(past.id);
    if (it == models_.end() || !it->second.known) {
      if (past.resident) ++coverage_["a resident model vanished"];
      continue;
    }
    if (past.pinned) it->second.pinned = *past.pinned;
    it->second.perhaps_quick = true;
    if (!past.resident || !event.bring_back) continue;
    it->second.was_resident = true;
    it->second.returns = true;
    it->second.past_grants = past.resident->access_count;
  }
}

void Referee::note(const ClearRequested& event) {
  if (event.stats) expected_ = {};
  clears_images_ = event.images;
  if (!event.history) return;
  for (auto& [id, model] : models_) model.past_grants = 0;
  for (const EngineId id : live_) {
    engines_.at(id).grants = 0;
    engines_.at(id).touched = false;
  }
}

void Referee::note(const DrainRequested& event) {
  draining_ = true;
  drain_deadline_ = event.deadline;
}

// A request whose deadline is this very moment has left the queue already.
void Referee::note_arrival(RequestId id, const ModelId& model) {
  std::size_t waiting = 0;
  std::size_t waiting_here = 0;
  for (const RequestId other : open_) {
    const SimRequest& request = requests_.at(other);
    if (request.kind > SimRequest::Kind::kLoad || request.deadline <= now_) continue;
    ++waiting;
    if (request.model == model) ++waiting_here;
  }
  arrival_ = id;
  queue_was_full_ = waiting >= options_.max_queue || waiting_here >= options_.max_queue_per_model;
}

void Referee::note_exit(EngineId id, SimEngine& engine) {
  SimModel& model = models_[engine.model];
  ++coverage_[engine.stopped  ? "exit after stop"
              : engine.killed ? "exit after kill"
              : engine.ready  ? "crash while hot"
                              : "crash in load"];
  if (!engine.stopped && engine.on_guess) ++coverage_["a guess that died"];
  if (!engine.stopped && !engine.perhaps_on_guess) {
    ++model.deaths;
    model.last_death = now_;
    model.returns = false;
  }
  engine.dead = true;
  live_.erase(id);
  model.live.reset();
}

void Referee::note_ready(SimEngine& engine) {
  const bool first = !engine.ready && !engine.stopped;
  engine.ready = true;
  if (!first) return;
  models_[engine.model].last_active = now_;
  engine.ready_since = now_;
  const bool unasked = models_[engine.model].eager || std::exchange(models_[engine.model].returns, false);
  bool preload = false;
  for (const RequestId id : open_) {
    const SimRequest& request = requests_.at(id);
    if (request.model != engine.model || request.kind > SimRequest::Kind::kLoad) continue;
    if (request.deadline <= now_) continue;  // its deadline comes first
    if (!request.preload) return;
    preload = true;
  }
  if (preload) {
    ++expected_.preloads;
  } else {
    // A model also comes back after an unload that was cancelled.
    perhaps_preload_ = unasked || engine.on_guess || engine.perhaps_on_guess || models_[engine.model].was_resident;
  }
}

void Referee::note_parked(const EngineParked& event, SimEngine& engine) {
  if (engine.parking != SimEngine::Parking::kUnderWay) return;
  expect(event.image <= engine.max_image, "the simulator's image is larger than it may be");
  engine.parking = SimEngine::Parking::kParked;
  engine.footprint = least(event.residue, engine.footprint);
  engine.image = event.image;
  engine.cached = event.cached;
  if (engine.park_evicts) ++expected_.evictions;
  ++coverage_["parked"];
}

void Referee::note_woken(const EngineWoken& event, SimEngine& engine) {
  engine.parking = SimEngine::Parking::kNo;
  engine.served = false;
  engine.ready_since = now_;
  models_[engine.model].last_active = now_;
  engine.cached = event.cached;
  const Bytes of_others = event.page_cache - cached_by_models();
  if (of_others < event.displaced) displaced_ = event.displaced;
  engine.cached += event.missing;
  ++coverage_[event.displaced > displaced_ ? "woken in the place of other files" : "woken"];
}

Bytes Referee::cached_by_models() const {
  Bytes sum;
  for (const EngineId id : live_) sum += engines_.at(id).cached;
  return sum;
}

}  // namespace minerva::sim
