// Whether the core may do with engines what it does.
#include <algorithm>

#include "context/state.h"
#include "sim/referee.h"

namespace minerva::sim {
namespace {

// Longer than any turn takes.
constexpr Duration kLongTurn = std::chrono::seconds(30);

}  // namespace

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
  std::size_t active = 1;
  for (const EngineId id : live_) {
    const SimEngine& engine = engines_.at(id);
    if (&engine == with) continue;
    held += engine.footprint;
    active += engine.active() ? 1 : 0;
  }
  const Footprint budget = limit();
  for (std::size_t pool = 0; pool < Footprint::kPools; ++pool) {
    const bool needed = more.of(pool) > Bytes();
    expect(!needed || held.of(pool) <= budget.of(pool), "the engines alive need more than the memory budget");
    if (needed && pool != Footprint::kHost) ++coverage_["room on a device"];
  }
  expect(options_.max_models == 0 || active <= options_.max_models, "more engines alive than max_models");
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
  engine.parked_footprint = engine.footprint;
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
  expect(!models_[action.model].keeps_pages, "pages are dropped of a model that is to keep them");
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
    if (parked && models_.at(engine.model).keeps_pages) continue;
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

// The engine of a model that loads is stopped.
void Referee::check_stop_of_load(const Stop& action, const SimEngine& engine) {
  SimModel& model = models_[action.model];
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

// A model leaves to get within the limits.
void Referee::check_shrinking(const SimEngine& engine) {
  Room staying{limit(), options_.max_models, Footprint(), 0};
  Bytes residues;
  Bytes images;
  for (const EngineId id : live_) {
    const SimEngine& other = engines_.at(id);
    if (other.stopped) continue;
    staying.committed += other.footprint;
    staying.active += other.active() ? 1 : 0;
    images += other.image;
    if (other.parking == SimEngine::Parking::kParked) residues += other.footprint.host();
  }
  const bool parked_too_much = engine.parking == SimEngine::Parking::kParked &&
                               (residues > options_.parking.memory || images > options_.parking.images);
  const bool for_an_image = engine.parking == SimEngine::Parking::kParked && engine.image > Bytes();
  expect(!staying.within() || parked_too_much || pressure_seen_ || for_an_image,
         "a model is evicted though the limits hold");
  const bool for_others = !staying.within() && staying.committed.within(budget_of(options_));
  ++coverage_[for_others          ? "evicted for other programs"
              : !staying.within() ? "evicted to shrink"
              : parked_too_much   ? "evicted, parked ones hold too much"
              : pressure_seen_    ? "evicted under pressure"
                                  : "evicted for an image"];
}

// A model leaves to make room for `claimant`.
void Referee::check_eviction_for(const ModelId& claimant, const SimEngine& engine) {
  const SimModel& newcomer = models_[claimant];
  const SimEngine* wakes = resident(claimant);
  const bool fits = wakes != nullptr ? wakes->hot_footprint.within(limit())
                                     : newcomer.inspected && newcomer.inspected->within(limit());
  expect(fits, "a model is evicted for one that is not known to fit");
  expect(is_wanted(claimant), "a model is evicted for one that nobody waits for");
  expect(claimant != engine.model, "a model is evicted for itself");
  expect(!progress_demanded_ || engine.served || engine.perhaps_on_guess, "a model is evicted that served nobody");
  check_residency(engine.model, claimant);
  check_switches(engine, claimant);
  ++coverage_["evicted"];
}

// A parked model is stopped, so that it is loaded where there is room.
void Referee::check_sent_elsewhere(const Stop& action, const SimEngine& engine) {
  expect(engine.parking == SimEngine::Parking::kParked, "a model that is not parked is sent elsewhere");
  expect(is_wanted(action.model), "a model is sent elsewhere that nobody waits for");
  expect(!engine.hot_footprint.within(limit()), "a model is sent elsewhere that has room where it is");
  ++coverage_["sent elsewhere"];
}

// A model is stopped that was not used for long.
void Referee::check_idle_stop(const Stop& action) {
  const SimModel& model = models_[action.model];
  const Duration ttl = action.reason.find("unload_ttl") != std::string::npos ? model.unload_ttl : model.ttl;
  const bool pinned = model.pinned && forced_out_ != action.model;
  expect(ttl > Duration::zero() && now_ >= model.last_active + ttl && !pinned,
         "a model is stopped for being idle that is not");
  ++coverage_["stopped when idle"];
}

void Referee::see(const Stop& action) {
  const auto it = engines_.find(action.engine);
  expect(it != engines_.end() && it->second.model == action.model, "an unknown engine is stopped");
  SimEngine& engine = it->second;
  expect(!engine.dead && !engine.stopped, "an engine is stopped twice");
  expect(engine.leases.empty(), "an engine is stopped that serves a request");
  expect(!action.reason.empty(), "an engine is stopped without a reason");
  SimModel& model = models_[action.model];
  if (!engine.ready) check_stop_of_load(action, engine);
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
    check_shrinking(engine);
  } else if (!action.victim_of.empty()) {
    check_eviction_for(action.victim_of, engine);
  } else if (action.reason.find("ttl") != std::string::npos) {
    check_idle_stop(action);
  } else if (action.reason.find("where there is room") != std::string::npos) {
    check_sent_elsewhere(action, engine);
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

}  // namespace minerva::sim
