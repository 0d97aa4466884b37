#include "sim/referee.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "context/state.h"

namespace minerva::sim {
namespace {

// Longer than any turn takes.
constexpr Duration kLongTurn = std::chrono::seconds(30);

template <typename... Ts>
struct Overloaded : Ts... {
  using Ts::operator()...;
};

}  // namespace

void broken(const std::string& what) { throw BrokenInvariant(what); }

void expect(bool condition, const char* what) {
  if (!condition) broken(what);
}

std::vector<Action> Referee::step(TimePoint now, const Event& event) {
  now_ = now;
  force_seen_ = open_forced_ > 0;
  perhaps_preload_ = false;
  pressure_seen_ = pressure_;
  forced_out_.clear();
  clears_images_ = false;
  arrival_.reset();
  displaced_ = Bytes();
  const std::optional<LoadTrial> trial = try_load(event);
  note(event);
  std::vector<Action> actions = manager_.step(now, event);
  if (trial) check_trial(*trial, actions);
  for (const Action& action : actions) {
    std::visit([this](const auto& a) { see(a); }, action);
  }
  check_pages();
  check_state(event);
  return actions;
}

// ---- events ----

void Referee::open(RequestId id, SimRequest request) {
  request.arrived = now_;
  if (request.kind == SimRequest::Kind::kLease || request.kind == SimRequest::Kind::kLoad) {
    ++open_wanting_;
    deadlines_.insert(request.deadline);
  }
  if (request.kind == SimRequest::Kind::kLease) ++open_leases_;
  if (request.force) {
    ++open_forced_;
    force_seen_ = true;
  }
  open_.insert(id);
  expect(requests_.emplace(id, request).second, "the simulator reused a request id");
  if (request.kind == SimRequest::Kind::kLease) ++counts_.accepted;
}

void Referee::close(RequestId id) {
  SimRequest& request = requests_.at(id);
  if (request.kind == SimRequest::Kind::kLease || request.kind == SimRequest::Kind::kLoad) {
    --open_wanting_;
    deadlines_.erase(deadlines_.find(request.deadline));
  }
  if (request.kind == SimRequest::Kind::kLease) --open_leases_;
  if (request.force) --open_forced_;
  open_.erase(id);
  request.status = SimRequest::Status::kClosed;
}

const SimEngine* Referee::resident(const ModelId& model) const {
  const auto it = models_.find(model);
  if (it == models_.end() || !it->second.live) return nullptr;
  const SimEngine& engine = engines_.at(*it->second.live);
  return engine.resident() ? &engine : nullptr;
}

void Referee::note(const Event& event) {
  std::visit(Overloaded{
                 [&](const ModelAdded& e) { note_added(e); },
                 [&](const ModelRemoved& e) {
                   if (!models_.contains(e.model)) return;
                   models_[e.model].known = false;
                   models_[e.model].returns = false;
                   models_[e.model].was_removed = true;
                   models_[e.model].comes_back = false;
                 },
                 [&](const LeaseRequested& e) {
                   const SimEngine* engine = resident(e.model);
                   note_arrival(e.request, e.model);
                   open(e.request, {.kind = SimRequest::Kind::kLease,
                                    .model = e.model,
                                    .deadline = e.deadline,
                                    .looking = e.looking,
                                    .caller = e.caller.user,
                                    .slots = e.looking ? 0 : e.slots,
                                    .ahead = count_ahead(e.model),
                                    .outcome = engine == nullptr   ? CacheOutcome::kMiss
                                               : engine->serving() ? CacheOutcome::kHit
                                                                   : CacheOutcome::kParked});
                 },
                 [&](const LoadRequested& e) {
                   note_arrival(e.request, e.model);
                   models_[e.model].deaths = 0;  // the operator wants the model tried again
                   open(e.request, {.kind = SimRequest::Kind::kLoad,
                                    .model = e.model,
                                    .deadline = e.deadline,
                                    .force = e.force,
                                    .preload = e.preload});
                 },
                 [&](const UnloadRequested& e) {
                   if (e.force) forced_out_ = e.model;
                   if (const auto it = models_.find(e.model); it != models_.end()) it->second.comes_back = false;
                   const bool stays = models_[e.model].pinned && !e.force;
                   if (!stays) models_[e.model].returns = false;
                   open(
                       e.request,
                       {.kind = SimRequest::Kind::kUnload, .model = e.model, .deadline = e.deadline, .force = e.force});
                 },
                 [&](const ParkRequested& e) {
                   if (e.force) forced_out_ = e.model;
                   open(e.request,
                        {.kind = SimRequest::Kind::kPark, .model = e.model, .deadline = e.deadline, .force = e.force});
                 },
                 [&](const PinRequested& e) {
                   open(e.request, {.kind = SimRequest::Kind::kPin, .model = e.model});
                   if (const auto it = models_.find(e.model); it != models_.end() && it->second.known) {
                     it->second.pinned = e.pinned;
                   }
                 },
                 [&](const RequestCancelled& e) {
                   const auto it = requests_.find(e.request);
                   if (it == requests_.end() || it->second.status != SimRequest::Status::kOpen) return;
                   if (it->second.kind == SimRequest::Kind::kLease) ++counts_.cancelled;
                   close(e.request);
                   ++coverage_["cancelled while waiting"];
                 },
                 [&](const LeaseReleased& e) { end_lease(e); },
                 [&](const LeaseLost& e) { note_lost(e); },
                 [&](const Inspected& e) {
                   const auto it = models_.find(e.model);
                   if (it == models_.end() || it->second.ticket != e.ticket) return;
                   it->second.ticket = 0;  // only the first answer counts
                   if (e.footprint) it->second.inspected = *e.footprint;
                   // An answer that nobody waits for is ignored.
                   const bool counts = manager_.residency(e.model, now_) == Residency::kPreparing;
                   if (!e.footprint && counts) it->second.returns = false;
                   if (e.footprint && counts && e.slots > 0) it->second.slots = e.slots;
                   if (e.footprint && counts && e.slots > 0) ++coverage_["fewer slots, to fit"];
                 },
                 [&](const EngineReady& e) {
                   const auto it = engines_.find(e.engine);
                   if (it == engines_.end() || it->second.dead) return;
                   if (!it->second.ready) it->second.can_park = e.can_park;
                   note_ready(it->second);
                 },
                 [&](const EngineParked& e) {
                   const auto it = engines_.find(e.engine);
                   if (it != engines_.end() && it->second.resident()) note_parked(e, it->second);
                 },
                 [&](const ParkRefused& e) {
                   const auto it = engines_.find(e.engine);
                   if (it == engines_.end() || !it->second.resident()) return;
                   if (it->second.parking != SimEngine::Parking::kUnderWay) return;
                   it->second.parking = SimEngine::Parking::kNo;
                   ++coverage_["park refused"];
                 },
                 [&](const EngineWoken& e) {
                   const auto it = engines_.find(e.engine);
                   if (it == engines_.end() || !it->second.resident()) return;
                   if (it->second.parking != SimEngine::Parking::kWaking) return;
                   note_woken(e, it->second);
                 },
                 [&](const EngineExited& e) {
                   const auto it = engines_.find(e.engine);
                   if (it != engines_.end() && !it->second.dead) note_exit(e.engine, it->second);
                 },
                 [&](const EngineStalled&) {},
                 [&](const FootprintMeasured& e) {
                   const auto it = engines_.find(e.engine);
                   if (it == engines_.end() || !it->second.resident()) return;
                   SimEngine& engine = it->second;
                   // During a park the reservation stays; the new figure counts at the wake.
                   if (engine.parking == SimEngine::Parking::kUnderWay) engine.hot_footprint = e.footprint;
                   if (!engine.serving()) return;
                   engine.footprint = engine.hot_footprint = e.footprint;
                   ++coverage_["footprint measured"];
                 },
                 [&](const PressureChanged& e) {
                   pressure_ = e.under_pressure;
                   pressure_seen_ = pressure_seen_ || pressure_;
                   ++coverage_[pressure_ ? "pressure" : "pressure ends"];
                 },
                 [&](const OptionsChanged& e) { note_options(e.options); },
                 [&](const HistoryRestored& e) { note_restored(e); },
                 [&](const ClearRequested& e) { note_cleared(e); },
                 [&](const DrainRequested& e) {
                   draining_ = true;
                   drain_deadline_ = e.deadline;
                 },
                 [&](const TimerFired&) {},
             },
             event);
}

void Referee::note_added(const ModelAdded& event) {
  SimModel& model = models_[event.model];
  // If the model, its file or its settings change, its past is forgotten.
  if (!model.known || event.outdated) model.deaths = 0;
  if (!model.known || event.pinned != model.pinned_by_catalog) model.pinned = event.pinned;
  model.pinned_by_catalog = event.pinned;
  model.known = true;
  model.ttl = event.ttl;
  model.unload_ttl = event.unload_ttl;
  model.slots = event.slots;
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

void Referee::note_options(const ContextOptions& options) {
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

void Referee::note_restored(const HistoryRestored& event) {
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

void Referee::note_cleared(const ClearRequested& event) {
  if (event.stats) expected_ = {};
  clears_images_ = event.images;
  if (!event.history) return;
  for (auto& [id, model] : models_) model.past_grants = 0;
  for (const EngineId id : live_) {
    engines_.at(id).grants = 0;
    engines_.at(id).touched = false;
  }
}

History Referee::history() {
  History history = manager_.history();
  expect(history.stats == expected_, "the history has other statistics");
  std::set<ModelId> resident_ones;
  for (const ModelHistory& model : history.models) {
    expect(models_.contains(model.id) && models_[model.id].known, "the history has a model that is not in the catalog");
    if (!model.resident) continue;
    resident_ones.insert(model.id);
    const SimEngine* const engine = resident(model.id);
    expect(engine != nullptr || models_[model.id].returns || draining_, "a model is to come back that left");
    if (engine != nullptr) expect(model.resident->access_count == engine->grants, "a model's uses are miscounted");
  }
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (!engine.resident() || !models_[engine.model].known) continue;
    if (engine.perhaps_on_guess && !engine.woken_on_guess) continue;
    expect(resident_ones.contains(engine.model), "a resident model is not to come back");
  }
  return history;
}

void Referee::restarted(const ContextOptions& options) {
  options_ = options;
  for (const RequestId id : std::set<RequestId>(open_)) close(id);
  for (auto& [id, request] : requests_) request.status = SimRequest::Status::kClosed;
  models_.clear();
  engines_.clear();
  live_.clear();
  counts_ = {};
  expected_ = {};
  granted_ = 0;
  switching_.clear();
  switches_.clear();
  told_.clear();
  draining_ = pressure_ = false;
  ++coverage_["restart"];
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

void Referee::end_lease(const LeaseReleased& event) {
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
void Referee::note_lost(const LeaseLost& event) {
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

// ---- actions ----

void Referee::see(const Inspect& action) {
  SimModel& model = models_[action.model];
  expect(model.known, "a model that was removed is inspected");
  expect(!model.live, "a model with an engine is inspected");
  model.ticket = action.ticket;
  model.inspected.reset();
  ++coverage_["inspect"];
}

void Referee::see(const Spawn& action) {
  switching_.erase(action.model);
  SimModel& model = models_[action.model];
  expect(!model.live, "two engines of one model");
  expect(model.known && !draining_, "an engine is started for a model that is gone, or while draining");
  expect(model.inspected == action.footprint, "a model is spawned that was not inspected");
  expect(!pressure_, "a model is loaded though the machine's memory is short");
  // Whatever else the breaker does, there must be a pause after two deaths in a row.
  if (model.deaths >= 2) {
    expect(now_ >= model.last_death + options_.quarantine_first / 2, "a model that dies again and again is started");
    ++coverage_["tried again after a pause"];
  }
  SimEngine engine{
      .model = action.model, .footprint = action.footprint, .spawned = now_, .hot_footprint = action.footprint};
  check_limits(&engine, engine.footprint);
  check_guess(engine);
  expect(engines_.emplace(action.engine, engine).second, "an engine id is used twice");
  live_.insert(action.engine);
  model.live = action.engine;
  model.inspected.reset();
  model.was_removed = false;
  ++coverage_["spawn"];
}

// A forced load of the newcomer lifts pins, and so does a forced park or unload of the model itself.
bool Referee::pin_was_lifted(const ModelId& model, const ModelId& newcomer) const {
  return is_open(SimRequest::Kind::kLoad, newcomer, true) || forced_out_ == model;
}

// A wanted model may be a victim only after its minimum residency.
void Referee::check_residency(const ModelId& model, const ModelId& newcomer) {
  const SimEngine* engine = resident(model);
  if (engine == nullptr || engine->parking == SimEngine::Parking::kParked) return;
  const bool wanted = is_open(SimRequest::Kind::kLease, model, false);
  const bool must_go = is_open(SimRequest::Kind::kLoad, newcomer, true) || !models_.at(model).known ||
                       is_open(SimRequest::Kind::kUnload, model, false);
  // The exception: a request for the newcomer would wait past its deadline otherwise.
  const bool pressing = std::any_of(requests_.begin(), requests_.end(), [&](const auto& r) {
    return r.second.status == SimRequest::Status::kOpen && r.second.kind == SimRequest::Kind::kLease &&
           r.second.model == newcomer && r.second.deadline <= now_ + kLongTurn;
  });
  const bool settled = now_ >= engine->ready_since + options_.min_residency;
  expect(!wanted || must_go || pressing || settled, "a model that is wanted is evicted before its min_residency");
  if (wanted && !must_go && !settled) ++coverage_["a deadline before min_residency"];
}

// A switch begins when the first model leaves for `newcomer` after the newcomer was last started.
void Referee::check_switches(const SimEngine& victim, const ModelId& newcomer) {
  if (newcomer.empty() || !switching_.insert(newcomer).second) return;
  // To give up a guess is no switch. But the core may have counted it, as the first model that leaves.
  if (victim.perhaps_on_guess) return;
  while (!switches_.empty() && switches_.front() + std::chrono::seconds(1) <= now_) switches_.pop_front();
  switches_.push_back(now_);
  const std::size_t most = options_.max_switches_per_second;
  expect(most == 0 || switches_.size() <= most, "more switches in a second than are allowed");
  if (switches_.size() == most) ++coverage_["as many switches as are allowed"];
}

// Room for `with` beside all that are alive, in each pool of which it takes more now.
void Referee::check_limits(const SimEngine* with, const Footprint& more) {
  Footprint held = with->footprint;
  std::size_t slots = 1;
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (&engine == with) continue;
    held += engine.footprint;
    slots += engine.has_slot() ? 1 : 0;
  }
  const Footprint budget = budget_of(options_);
  for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) {
    const bool needed = more.of(pool) > Bytes();
    expect(!needed || held.of(pool) <= budget.of(pool), "the engines alive need more than the memory budget");
    if (needed && pool != Footprint::kHost) ++coverage_["room on a device"];
  }
  expect(options_.max_models == 0 || slots <= options_.max_models, "more engines alive than max_models");
}

void Referee::see(const Park& action) {
  const auto it = engines_.find(action.engine);
  expect(it != engines_.end() && it->second.model == action.model, "an unknown engine is parked");
  SimEngine& engine = it->second;
  expect(engine.may_be_granted() && engine.can_park && options_.parking.enabled, "an engine is parked that cannot be");
  expect(engine.leases.empty(), "an engine is parked that serves a request");
  expect(!action.reason.empty(), "an engine is parked without a reason");
  const SimModel& model = models_[action.model];
  Bytes images = action.max_image;
  for (const EngineId id : live_) images += id == action.engine ? Bytes() : engines_.at(id).image;
  expect(action.max_image == Bytes() || images <= options_.parking.images, "images may take more than their disk");
  const bool for_operator = is_open(SimRequest::Kind::kPark, action.model, false);
  if (action.evicted) {
    expect(!model.pinned || pin_was_lifted(action.model, action.victim_of), "a pinned model is a victim");
    expect(action.victim_of != action.model, "a model is evicted for itself");
    expect(!progress_demanded_ || engine.served || engine.perhaps_on_guess, "a model is evicted that served nobody");
    check_victim(engine, action.victim_of);
    if (!action.victim_of.empty()) check_residency(action.model, action.victim_of);
    check_switches(engine, action.victim_of);
    ++coverage_["evicted by parking"];
  } else {
    const bool idle_too_long = model.ttl > Duration::zero() && now_ >= model.last_active + model.ttl;
    expect(for_operator || (idle_too_long && (!model.pinned || forced_out_ == action.model)),
           "a model is parked for nothing");
    ++coverage_[for_operator ? "parked by an operator" : "parked when idle"];
  }
  engine.on_guess = false;  // even if it stays after all
  engine.parking = SimEngine::Parking::kUnderWay;
  engine.park_evicts = action.evicted;
  engine.max_image = action.max_image;
}

void Referee::see(const Wake& action) {
  switching_.erase(action.model);
  const auto it = engines_.find(action.engine);
  expect(it != engines_.end() && it->second.model == action.model, "an unknown engine is woken");
  SimEngine& engine = it->second;
  expect(engine.resident() && !engine.killed && engine.parking == SimEngine::Parking::kParked,
         "an engine is woken that is not parked");
  check_guess(engine);
  engine.parking = SimEngine::Parking::kWaking;
  const Footprint more = engine.hot_footprint - engine.footprint;
  engine.footprint += more;
  check_limits(&engine, more);
  ++coverage_["wake"];
}

void Referee::see(const DropPages& action) {
  const auto it = engines_.find(action.engine);
  expect(it != engines_.end() && it->second.resident() && it->second.parking == SimEngine::Parking::kParked,
         "pages are dropped of an engine that is not parked");
  SimEngine& engine = it->second;
  expect(engine.cached > Bytes(), "pages are dropped of an engine that has none");
  if (action.bytes == Bytes(UINT64_MAX)) {
    expect(pressure_seen_, "all pages are dropped though there is no pressure");
    engine.cached = Bytes();
    ++coverage_["pages dropped"];
    return;
  }
  expect(action.bytes > Bytes() && action.bytes <= engine.cached, "more pages are dropped than an engine has");
  expect(action.bytes <= displaced_, "pages are dropped that stand in nobody's way");
  engine.cached -= action.bytes;
  displaced_ -= action.bytes;
  ++coverage_["pages make way"];
}

// All page cache that was to be given back is given back, as far as there is any.
void Referee::check_pages() const {
  if (displaced_ == Bytes()) return;
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    const bool parked = engine.resident() && engine.parking == SimEngine::Parking::kParked;
    expect(!parked || engine.cached == Bytes(), "a parked model keeps pages that stand in the way");
  }
}

void Referee::see(const ReadAhead& action) {
  expect(action.likely || models_[action.model].inspected.has_value(), "a file is read ahead that was not inspected");
  if (action.likely) {
    expect(options_.prediction.read_ahead, "a file is read ahead on a guess, which is switched off");
    expect(open_.empty() && granted_ == 0 && !pressure_, "a file is read ahead on a guess though something goes on");
  }
  ++coverage_[action.likely ? "read ahead on a guess" : "read ahead"];
}

bool Referee::is_open(SimRequest::Kind kind, const ModelId& model, bool forced_only) const {
  return std::any_of(open_.begin(), open_.end(), [&](const RequestId id) {
    const SimRequest& request = requests_.at(id);
    const bool of_model = model.empty() || request.model == model;
    return request.kind == kind && of_model && (request.force || !forced_only);
  });
}

void Referee::see(const Stop& action) {
  const auto it = engines_.find(action.engine);
  expect(it != engines_.end() && it->second.model == action.model, "an unknown engine is stopped");
  SimEngine& engine = it->second;
  expect(!engine.dead && !engine.stopped, "an engine is stopped twice");
  expect(engine.leases.empty(), "an engine is stopped that serves a request");
  expect(!action.reason.empty(), "an engine is stopped without a reason");
  SimModel& model = models_[action.model];
  if (!engine.ready) {
    const bool late = now_ >= engine.spawned + options_.load_timeout;
    const bool yields = model.returns && !is_wanted(action.model) && open_wanting_ > 0;
    if (yields) ++coverage_["yields while it comes back"];
    if (late) model.returns = false;
    expect(late || is_open(SimRequest::Kind::kUnload, action.model, false) || model.was_removed || draining_ ||
               engine.outdated || yields || (engine.perhaps_on_guess && open_wanting_ > 0),
           "a loading engine is stopped for nothing");
    if (engine.on_guess && open_wanting_ > 0) ++coverage_["a guess yields"];
    ++coverage_["stop while loading"];
  }
  if (action.reason == "its file or its settings have changed") {
    expect(engine.outdated, "an engine is replaced whose settings did not change");
    const bool was_out =
        engine.parking == SimEngine::Parking::kParked || engine.parking == SimEngine::Parking::kUnderWay;
    model.comes_back = !was_out && !is_open(SimRequest::Kind::kUnload, action.model, false);
    model.eager = true;
    ++coverage_[was_out ? "outdated while parked" : "outdated engine replaced"];
  }
  if (action.evicted) {
    ++expected_.evictions;
    check_victim(engine, action.victim_of);
    expect(engine.ready, "a loading model is a victim");
    // A forced load lifts pins, and then smaller limits may take such a model at once.
    expect(!model.pinned || pin_was_lifted(action.model, action.victim_of), "a pinned model is a victim");
  }
  if (action.evicted && action.victim_of.empty()) {
    Room staying{budget_of(options_), options_.max_models, Footprint(), 0};
    Bytes residues;
    Bytes images;
    for (const EngineId id : live_) {
      const SimEngine& other = engines_.at(id);
      if (other.stopped) continue;
      staying.committed += other.footprint;
      staying.active += other.has_slot() ? 1 : 0;
      images += other.image;
      if (other.parking == SimEngine::Parking::kParked) residues += other.footprint.host();
    }
    const bool parked_too_much = engine.parking == SimEngine::Parking::kParked &&
                                 (residues > options_.parking.memory || images > options_.parking.images);
    const bool for_an_image = engine.parking == SimEngine::Parking::kParked && engine.image > Bytes();
    expect(!staying.within() || parked_too_much || pressure_seen_ || for_an_image,
           "a model is evicted though the limits hold");
    ++coverage_[!staying.within() ? "evicted to shrink"
                : parked_too_much ? "evicted, parked ones hold too much"
                : pressure_seen_  ? "evicted under pressure"
                                  : "evicted for an image"];
  } else if (!action.victim_of.empty()) {
    const SimModel& newcomer = models_[action.victim_of];
    const SimEngine* wakes = resident(action.victim_of);
    const bool fits = wakes != nullptr ? wakes->hot_footprint.within(budget_of(options_))
                                       : newcomer.inspected && newcomer.inspected->within(budget_of(options_));
    expect(fits, "a model is evicted for one that is not known to fit");
    expect(is_wanted(action.victim_of), "a model is evicted for one that nobody waits for");
    expect(action.victim_of != action.model, "a model is evicted for itself");
    expect(!progress_demanded_ || engine.served || engine.perhaps_on_guess, "a model is evicted that served nobody");
    check_residency(action.model, action.victim_of);
    check_switches(engine, action.victim_of);
    ++coverage_["evicted"];
  } else if (action.reason.find("ttl") != std::string::npos) {
    const Duration ttl = action.reason.find("unload_ttl") != std::string::npos ? model.unload_ttl : model.ttl;
    const bool pinned = model.pinned && forced_out_ != action.model;
    expect(ttl > Duration::zero() && now_ >= model.last_active + ttl && !pinned,
           "a model is stopped for being idle that is not");
    ++coverage_["stopped when idle"];
  }
  if (clears_images_ && engine.parking == SimEngine::Parking::kParked) ++coverage_["image cleared"];
  if (engine.parking != SimEngine::Parking::kNo) ++coverage_["stop of a parked one"];
  engine.stopped = true;
}

void Referee::see(const Kill& action) {
  const auto it = engines_.find(action.engine);
  expect(it != engines_.end() && it->second.model == action.model, "an unknown engine is killed");
  SimEngine& engine = it->second;
  expect(!engine.dead && !engine.stopped && !engine.killed, "an engine is killed that ends anyway");
  const bool moves = engine.parking == SimEngine::Parking::kUnderWay || engine.parking == SimEngine::Parking::kWaking;
  expect(!engine.ready || !engine.leases.empty() || moves, "an idle engine is killed");
  if (moves) ++coverage_["kill of one that parks or wakes"];
  engine.killed = true;
  ++coverage_["kill"];
}

void Referee::see(const Grant& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end() && it->second.kind == SimRequest::Kind::kLease, "a lease for nobody");
  SimRequest& request = it->second;
  expect(request.status == SimRequest::Status::kOpen, "a request is answered that was answered or left");
  const auto engine = engines_.find(action.engine);
  expect(engine != engines_.end() && engine->second.may_be_granted(), "a lease on an engine that cannot serve");
  expect(engine->second.model == request.model && action.model == request.model, "a lease on another model");
  expect(!engine->second.outdated, "a lease on an engine whose settings have changed");
  expect(action.outcome == request.outcome, "a hit that is a miss, or the reverse");
  expect(action.waited == now_ - request.arrived, "a wrong waiting time");
  const auto turns = static_cast<std::int64_t>(1 + request.ahead);
  const bool bounded = wait_bound_ != Duration::max() && request.caller != kFlooder;
  expect(!bounded || action.waited <= turns * wait_bound_, "a request starved");
  expect(now_ < request.deadline, "a request is granted after its deadline");
  expect(++request.engines_had <= 2, "a request gets a third engine");
  if (request.engines_had == 2) ++coverage_["grant of a second engine"];
  const auto view = manager_.model(request.model, now_);
  if (view && view->breaker == BreakerState::kHalfOpen && !request.looking) {
    expect(engine->second.leases.empty(), "a second request is let in before the first proved the model");
    ++coverage_["probe"];
  }
  if (action.waited > Duration::zero() && request.outcome == CacheOutcome::kHit) ++coverage_["hit that had to wait"];
  if (!request.looking) models_[request.model].last_active = now_;
  close(action.request);
  ++granted_;
  request.status = SimRequest::Status::kGranted;
  request.engine = action.engine;
  engine->second.leases.insert(action.request);
  request.granted = now_;
  check_slots(request, engine->second);
  engine->second.slots_taken += request.slots;
  if (request.looking) {
    ++coverage_["look"];
    return;  // it is no use
  }
  ++engine->second.grants;
  engine->second.served = true;
  engine->second.touched = true;
  ++coverage_["grant"];
}

// Checks the slots against the other leases of the engine.
void Referee::check_slots(const SimRequest& request, const SimEngine& engine) {
  const SimModel& model = models_[request.model];
  if (model.slots == 0 || request.slots == 0) return;
  expect(request.slots <= model.slots, "a request gets more slots than there are");
  const unsigned taken = engine.slots_taken + request.slots;
  if (request.slots > 1) {
    expect(taken <= model.slots, "a request for several slots is granted before they are free");
    ++coverage_["grant of several slots"];
  } else {
    expect(taken <= model.slots * (model.perhaps_quick ? 2 : 1), "an engine gets more requests than it has slots");
  }
  if (taken >= model.slots) ++coverage_["all slots taken"];
}

std::size_t Referee::count_ahead(const ModelId& model) const {
  return static_cast<std::size_t>(std::count_if(open_.begin(), open_.end(), [&](const RequestId id) {
    const SimRequest& request = requests_.at(id);
    return request.model == model && request.kind == SimRequest::Kind::kLease && request.caller != kFlooder;
  }));
}

void Referee::see(const Done& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end() && it->second.kind != SimRequest::Kind::kLease, "a Done for no life-cycle call");
  const SimRequest& request = it->second;
  expect(request.status == SimRequest::Status::kOpen, "a request is answered that was answered or left");
  expect(action.model == request.model, "a Done for another model");
  if (request.kind == SimRequest::Kind::kLoad) {
    expect(resident(action.model) != nullptr, "a load is done, but the model cannot serve");
    expect(action.footprint == resident(action.model)->footprint.total(), "a load reports a wrong footprint");
    expect(!resident(action.model)->outdated, "a load is done by an engine whose settings have changed");
    if (!request.preload) {
      models_[action.model].last_active = now_;
      engines_.at(*models_[action.model].live).touched = true;
    } else if (!action.evicted.empty()) {
      ++coverage_["preload that evicted"];
    }
    ++coverage_[action.changed ? "load done" : "load of a hot model"];
    if (!action.evicted.empty()) ++coverage_["load that evicted"];
  } else if (request.kind == SimRequest::Kind::kUnload) {
    expect(!models_[action.model].live, "an unload is done, but the engine lives");
    ++coverage_[action.changed ? "unload done" : "unload of a cold model"];
  }
  close(action.request);
}

void Referee::see(const Reject& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end(), "a rejection for nobody");
  const SimRequest& request = it->second;
  expect(request.status == SimRequest::Status::kOpen, "a request is answered that was answered or left");
  expect(!action.error.message.empty(), "a rejection without a reason");
  const ErrorInfo& info = error_info(action.error.code);
  const bool known = models_.contains(request.model) && models_[request.model].known;
  switch (action.error.code) {
    case ErrorCode::kModelNotFound:
      expect(!known, "a known model is not found");
      break;
    case ErrorCode::kDraining:
      expect(draining_, "a request is refused for draining, but nothing drains");
      break;
    case ErrorCode::kModelNotLoaded:
      expect(request.looking, "a use of a model is refused as it is not loaded");
      break;
    case ErrorCode::kNoCapacity:
      expect(now_ >= request.deadline || force_seen_ || pressure_, "a request gave up before its deadline");
      break;
    case ErrorCode::kQueueFull:
      expect(arrival_ == action.request, "a request is refused for the queue's length that was let in before");
      expect(queue_was_full_, "a request is refused for the queue's length though the queue is not full");
      break;
    default:
      break;
  }
  const bool try_again = action.error.code == ErrorCode::kNoCapacity || action.error.code == ErrorCode::kQueueFull ||
                         action.error.code == ErrorCode::kQuarantined || action.error.code == ErrorCode::kDraining;
  expect(!try_again || action.error.retry_after_s >= 1, "no Retry-After");
  expect(wait_bound_ == Duration::max() || request.kind != SimRequest::Kind::kLease || !try_again,
         "a request is shed that would have had its turn");
  it->second.rejected = action.error.code;
  if (request.kind == SimRequest::Kind::kLease) ++(try_again ? counts_.shed : counts_.failed);
  if (request.engines_had > 0) ++coverage_["rejected after its engine died"];
  ++coverage_["reject " + std::string(info.name)];
  close(action.request);
}

void Referee::see(const Abort& action) {
  const auto it = requests_.find(action.request);
  expect(it != requests_.end() && it->second.status == SimRequest::Status::kGranted, "an abort of what holds no lease");
  expect(!it->second.aborted, "a lease is aborted twice");
  expect(force_seen_ || (draining_ && now_ >= drain_deadline_), "a lease is aborted though nobody forced it");
  it->second.aborted = true;
  ++coverage_["abort"];
}

// ---- the dry run ----

std::optional<Referee::LoadTrial> Referee::try_load(const Event& event) const {
  ModelId id;
  RequestId load{};
  Footprint footprint;
  if (const auto* const requested = std::get_if<LoadRequested>(&event); requested != nullptr && !requested->force) {
    id = requested->model;
    load = requested->request;
    if (requested->deadline <= now_) return std::nullopt;
  } else if (const auto* const inspected = std::get_if<Inspected>(&event); inspected != nullptr) {
    const auto model = models_.find(inspected->model);
    const bool counts = model != models_.end() && model->second.ticket == inspected->ticket && inspected->footprint &&
                        manager_.residency(inspected->model, now_) == Residency::kPreparing;
    if (!counts) return std::nullopt;
    const auto waits = std::find_if(open_.begin(), open_.end(), [&](const RequestId r) {
      const SimRequest& request = requests_.at(r);
      return request.kind == SimRequest::Kind::kLoad && request.model == inspected->model && request.deadline > now_;
    });
    if (waits == open_.end()) return std::nullopt;
    id = inspected->model;
    load = *waits;
    footprint = *inspected->footprint;
  }
  if (id.empty()) return std::nullopt;
  auto plan = manager_.plan_load(id, footprint, now_);
  if (!plan) return std::nullopt;
  return LoadTrial{id, load, *std::move(plan), std::holds_alternative<Inspected>(event)};
}

void Referee::check_trial(const LoadTrial& trial, const std::vector<Action>& actions) {
  bool rejected = false;
  bool starts = false;
  for (const Action& action : actions) {
    if (const auto* reject = std::get_if<Reject>(&action)) rejected |= reject->request == trial.load;
    if (const auto* spawn = std::get_if<Spawn>(&action)) starts |= spawn->model == trial.model;
    if (const auto* wake = std::get_if<Wake>(&action)) starts |= wake->model == trial.model;
    ModelId leaves;
    if (const auto* stop = std::get_if<Stop>(&action); stop != nullptr && stop->victim_of == trial.model) {
      leaves = stop->model;
    }
    if (const auto* park = std::get_if<Park>(&action); park != nullptr && park->victim_of == trial.model) {
      leaves = park->model;
    }
    if (leaves.empty() || !trial.plan.possible) continue;
    expect(std::ranges::find(trial.plan.evict, leaves) != trial.plan.evict.end(),
           "a model leaves for a load of which the dry run did not say so");
    ++coverage_["a dry run named who leaves"];
  }
  expect(!rejected || !trial.plan.possible, "a load is refused that the dry run called possible");
  // It may wait on, for a request that waits for the model as well, but it has its turn later.
  const bool turned_away = trial.plan.reason.find("already; try again later") != std::string::npos || pressure_;
  expect(!starts || trial.plan.possible || turned_away || rejected, "a load starts that the dry run called impossible");
  if (starts) ++coverage_["a dry run said that it starts"];
  if (rejected) ++coverage_["a dry run said that it is refused"];
}

// ---- after each step ----

void Referee::check_state(const Event& event) {
  manager_.check_invariants();

  const auto* const lease = std::get_if<LeaseRequested>(&event);
  if (lease != nullptr && lease->looking) {
    expect(requests_.at(lease->request).status != SimRequest::Status::kOpen, "a look has to wait");
  } else if (lease != nullptr) {
    // There is one lookup for each accepted request. A request that was refused at once is not accepted.
    const SimRequest& request = requests_.at(lease->request);
    const auto code = request.rejected;
    const SimModel& asked = models_[request.model];
    const bool too_wide = asked.known && !draining_ && asked.slots > 0 && request.slots > asked.slots;
    expect(!too_wide || code == ErrorCode::kInvalidArgument, "a request waits for more slots than there are");
    if (too_wide) ++coverage_["reject a request for too many slots"];
    const bool turned_away = too_wide || code == ErrorCode::kModelNotFound || code == ErrorCode::kDraining ||
                             code == ErrorCode::kQuarantined || code == ErrorCode::kQueueFull;
    // No request waits for a load while memory is short.
    const auto& live = models_[request.model].live;
    const bool joins = live && !engines_.at(*live).stopped;
    const bool shed = code == ErrorCode::kNoCapacity && pressure_ && request.outcome == CacheOutcome::kMiss && !joins;
    if (shed) ++coverage_["shed under pressure"];
    if (!turned_away && !shed) ++(request.outcome != CacheOutcome::kMiss ? expected_.hits : expected_.misses);
  }
  const CacheStats& stats = manager_.cache_stats();
  expect(stats.hits == expected_.hits && stats.misses == expected_.misses, "the lookups are miscounted");
  if (perhaps_preload_ && stats.preloads == expected_.preloads + 1) ++expected_.preloads;
  expect(stats.preloads == expected_.preloads, "the preloads are miscounted");
  expect(stats.evictions == expected_.evictions, "the evictions are miscounted");

  check_configuration();
  check_guesses();
  check_changes();

  Footprint held;
  std::size_t serving_engines = 0;
  for (const EngineId id : live_) {
    SimEngine& engine = engines_.at(id);
    held += engine.footprint;
    if (!engine.resident()) continue;
    if (engine.serving()) ++serving_engines;
    const auto view = manager_.model(engine.model, now_);
    const Residency residency = engine.parking == SimEngine::Parking::kNo       ? Residency::kHot
                                : engine.parking == SimEngine::Parking::kParked ? Residency::kParked
                                : engine.parking == SimEngine::Parking::kWaking ? Residency::kWaking
                                                                                : Residency::kParking;
    expect(view && view->residency == residency && view->engine == id, "an engine's state is wrong");
    const bool first_look = !std::exchange(engine.counted_on, true);
    if (first_look && view->access_count != engine.grants) {
      engine.grants += models_[engine.model].past_grants;
      ++coverage_["uses counted on after a restart"];
    }
    if (first_look && models_[engine.model].was_resident) engine.touched |= view->since_last_use.has_value();
    expect(view->since_last_use.has_value() == engine.touched, "a preload is counted as use, or a use is not");
    expect(view->access_count == engine.grants && view->leases == engine.leases.size(), "leases are miscounted");
    expect(view->slots == models_[engine.model].slots, "a model has another number of slots than was said");
    expect(view->slots_taken == engine.slots_taken, "the slots taken are miscounted");
    expect(view->by_pool == engine.footprint && view->memory == engine.footprint.total() && view->image == engine.image,
           "a model's memory or image is wrong");
    const SimModel& model = models_[engine.model];
    const bool idle = engine.leases.empty() && !model.pinned && !engine.killed && !draining_ &&
                      (residency == Residency::kHot || residency == Residency::kParked) &&
                      !is_open(SimRequest::Kind::kLease, engine.model, false) &&
                      !is_open(SimRequest::Kind::kLoad, engine.model, false);
    if (idle && model.unload_ttl > Duration::zero() && now_ >= model.last_active + model.unload_ttl) {
      // The model may have become idle in this very step.
      expect(manager_.next_timer() == now_, "a model stays that was idle for unload_ttl");
    }
  }
  expect(manager_.reserved() == held, "the reserved memory is not what the engines alive hold");
  expect(manager_.loaded_models().size() == serving_engines, "a model is listed as loaded that cannot serve");
  expect(manager_.queued() == open_leases_, "the queue and the open requests disagree");
  expect(manager_.request_counts() == counts_, "the requests are miscounted");
  expect(counts_.accepted == counts_.ended() + open_leases_ + granted_, "a request is not accounted for");
  expect(manager_.drained() == (draining_ && live_.empty()), "drained too early or too late");

  if (!deadlines_.empty()) {
    expect(*deadlines_.begin() > now_, "a request waits beyond its deadline");
    const TimePoint armed = manager_.next_timer().value_or(TimePoint::max());
    expect(armed <= *deadlines_.begin(), "a deadline is not armed");
  }
  for (auto& [id, model] : models_) {
    if (!model.pinned) continue;
    const auto view = manager_.model(id, now_);
    if (!view || !model.known) {
      model.pinned = false;
    } else if (!view->pinned) {
      expect(force_seen_, "a pin was lifted though nobody forced it");
      model.pinned = false;
      ++coverage_["pin lifted by force"];
    }
  }
}

// ---- what is loaded on a guess ----

// A guess is loaded or woken now.
void Referee::check_guess(SimEngine& engine) {
  if (is_wanted(engine.model)) return;
  engine.perhaps_on_guess = options_.prediction.preload;
  const SimModel& model = models_[engine.model];
  if (model.eager && !engine.ready) return;
  if (model.returns && !engine.ready) {
    expect(open_wanting_ == 0, "a model comes back while somebody waits");
    ++coverage_["comes back after a restart"];
    return;
  }
  expect(options_.prediction.preload, "an engine is started or woken that nobody wants");
  expect(open_wanting_ == 0 && !pressure_, "something is loaded on a guess though somebody waits or memory is short");
  engine.on_guess = true;
  engine.woken_on_guess = engine.ready;
  ++coverage_[engine.ready ? "woken on a guess" : "loaded on a guess"];
}

// The model leaves to make room.
void Referee::check_victim(const SimEngine& victim, const ModelId& newcomer) const {
  if (!newcomer.empty() && options_.max_models == 0) {
    const SimEngine* const wakes = resident(newcomer);
    const Footprint wanted = wakes != nullptr ? wakes->hot_footprint - wakes->footprint
                                              : models_.at(newcomer).inspected.value_or(Footprint());
    expect(victim.perhaps_on_guess || least(wanted, victim.footprint) != Footprint(),
           "a model leaves that holds nothing in the pools of which the newcomer needs some");
  }
  // A parked one leaves for limits of its own.
  const bool in_the_way = !newcomer.empty() || victim.parking == SimEngine::Parking::kNo;
  if (victim.perhaps_on_guess || !in_the_way) return;
  for (const EngineId id : live_) {
    const SimEngine& other = engines_.at(id);
    const bool could_go = other.on_guess && !other.woken_on_guess && other.serving() && !other.killed &&
                          !models_.at(other.model).pinned && !is_wanted(other.model) && other.model != newcomer;
    expect(!could_go, "a model is evicted while another is there on a guess only");
  }
}

void Referee::check_guesses() {
  // A request for the model makes it more than a guess, unless the request was refused at once, which only the core
  // knows.
  if (arrival_ && !requests_.at(*arrival_).looking) {
    const auto it = models_.find(requests_.at(*arrival_).model);
    if (it != models_.end() && it->second.live) {
      SimEngine& engine = engines_.at(*it->second.live);
      const bool let_in = !requests_.at(*arrival_).rejected;
      if (engine.on_guess && let_in) ++coverage_[engine.ready ? "a guess is used" : "a guess is joined"];
      engine.on_guess = false;
      if (let_in) engine.perhaps_on_guess = false;
    }
  }
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (!engine.on_guess || engine.ready || engine.stopped || draining_) continue;
    expect(open_wanting_ == 0, "a guess is loaded on though somebody waits");
  }
  const PredictionStats stats = manager_.predictions();
  expect(stats.made >= stats.used + stats.wasted, "the guesses are miscounted");
  if (stats.paused) ++coverage_["guesses are paused"];
}

// A reader who follows the changes must know the state of each model.
void Referee::check_changes() {
  for (const ResidencyChange& change : manager_.changes()) {
    Residency& told = told_.try_emplace(change.model, Residency::kCold).first->second;
    expect(change.from == told && change.to != told, "a change is told that does not follow from the one before");
    told = change.to;
  }
  for (const auto& [id, told] : told_) {
    const Residency now = manager_.residency(id, now_);
    // the quarantine ended with time, which is no change
    const bool over = told == Residency::kQuarantined && now == Residency::kCold;
    expect(now == told || over, "a model is in another state than was told");
  }
}

// What a config demands that was read while everything goes on.
void Referee::check_configuration() {
  if (arrival_ && queue_was_full_) expect(!open_.contains(*arrival_), "a request waits in a queue that was full");
  const TimePoint armed = manager_.next_timer().value_or(TimePoint::max());
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (engine.stopped) continue;
    expect(!engine.outdated || !engine.leases.empty(), "an engine is kept whose settings have changed");
    if (engine.ready) continue;
    expect(now_ < engine.spawned + options_.load_timeout, "a load goes on beyond load_timeout");
    expect(armed <= engine.spawned + options_.load_timeout, "load_timeout is not armed");
  }
  for (auto& [id, model] : models_) {
    if (!model.comes_back || model.live) continue;
    model.comes_back = false;
    if (draining_) continue;
    expect(model.ticket != 0, "a model that was in memory does not come back with its new settings");
    ++coverage_["outdated model comes back"];
  }
}

void Referee::check_finished() const {
  expect(granted_ == 0, "a request runs for ever");
  expect(!open_.empty() || counts_.accepted == counts_.ended(), "a request has no end");
  if (open_.empty()) return;
  const SimRequest& request = requests_.at(*open_.begin());
  broken(fmt::format("a request was forgotten: {} for {}", static_cast<std::uint64_t>(*open_.begin()), request.model));
}

}  // namespace minerva::sim
