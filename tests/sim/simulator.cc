#include "sim/simulator.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <map>
#include <random>
#include <vector>

#include "minerva/base/check.h"

namespace minerva::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kClientsForALook = 4;
constexpr auto kLook = milliseconds(2);
// a request that takes so long gives its engine no more requests than it has slots
constexpr auto kSlow = milliseconds(300);
constexpr Duration kInspectMax = milliseconds(200);
constexpr Duration kLoadMax = seconds(3);
constexpr Duration kStopMax = seconds(1);
constexpr Duration kParkMax = seconds(1);
constexpr Duration kWakeMax = milliseconds(500);
constexpr Duration kLeaseMax = seconds(2);
constexpr Duration kStallMax = seconds(3);         // until a hanging engine is noticed
constexpr Duration kWatchMax = milliseconds(500);  // until a replaced file is noticed by itself
constexpr std::uint64_t kMaxEvents = 200'000;

// The properties of a schedule. A calm schedule has no faults and no operator, so that waits have a bound.
struct Profile {
  bool calm = false;
  bool urgent = false;  // calm, with steady traffic of high priority for all models but one
  bool flood = false;   // calm, with few slots, and a caller who sends hundreds of requests for one model
  int models = 4;
  int arrivals = 60;
  Duration span = seconds(20);
  double fault = 0.1;      // that an inspection or an engine misbehaves
  double operators = 0.2;  // that an arrival is an operator's call
  double leave = 0.1;      // that a client goes away
  double poison = 0;       // that a request kills its engine
  double restarts = 0;     // that an operator's call is the end of the process
  double parks = 0;        // that an engine can be parked
  double schedules = 0;    // that a model is preloaded and unloaded at set times
  double replaced = 0;     // that a file is replaced while something is done with it
  ContextOptions options;
  std::string policy;
};

class World {
 public:
  World(std::uint64_t seed, bool keep_log)
      : random_(seed),
        profile_(make_profile()),
        options_(profile_.options),
        manager_(profile_.options, make_policy(profile_.policy).value()),
        referee_(manager_, profile_.options),
        keep_log_(keep_log) {}

  ScheduleResult play();

 private:
  // ---- chance ----
  std::uint64_t pick(std::uint64_t below) { return random_() % below; }
  bool chance(double p) { return static_cast<double>(random_() >> 11) * 0x1.0p-53 < p; }
  Duration between(Duration low, Duration high) {
    const auto span = static_cast<std::uint64_t>(std::chrono::duration_cast<milliseconds>(high - low).count());
    return low + milliseconds(static_cast<std::int64_t>(pick(span + 1)));
  }
  Profile make_profile();
  ModelId model_name(std::uint64_t i) const { return ModelId(1, static_cast<char>('a' + i)); }
  ModelId any_model();
  bool faulty() { return !settling_ && !profile_.calm && chance(profile_.fault); }

  // ---- the course of things ----
  // Plans something within this process: after a restart it does not happen.
  void at(Duration delay, std::function<void()> what) {
    outside(delay, [this, life = life_, what = std::move(what)] {
      if (life == life_) what();
    });
  }
  // Plans something that happens in whichever process there is then.
  void outside(Duration delay, std::function<void()> what) { agenda_.emplace(now_ + delay, std::move(what)); }
  void deliver(const Event& event);
  bool run_until(TimePoint end);
  void plan_arrivals();
  void settle();

  // ---- callers ----
  RequestId new_request() { return RequestId{next_request_++}; }
  TimePoint some_deadline();
  Caller some_caller();
  void client_arrives(const ModelId& model) { client_arrives(model, some_caller()); }
  void client_arrives(const ModelId& model, Caller caller);
  void operator_calls();
  void follow_schedule(const ModelId& model, Duration period);
  void configuration_changes();
  void change_limits(Bytes budget, std::size_t max_models);
  void restart();
  // An event that nobody expects: it must change nothing, or do no harm.
  void stray_event();
  ParkingLimits some_parking_limits();
  ModelAdded some_entry(const ModelId& model);
  // The catalog has this entry from now on.
  void add(ModelAdded entry);
  void remove(const ModelId& model);
  // Perhaps replaces the model's file before `within` has passed. `doing`: what is done with the file meanwhile.
  void perhaps_replace_file(const ModelId& model, Duration within, const char* doing);
  // The catalog looks at the file. `by`: who made it look.
  void look_at_file(const ModelId& model, const char* by);
  bool runs_another_file(const ModelId& model) const;
  void steady_traffic(const ModelId& model, TimePoint end);
  void plan_flood();
  unsigned some_slots(const ModelId& model);
  void release(RequestId request, LeaseEnd end);
  // The request's answer is complete, if its engine still works.
  void answered(RequestId request, LeaseEnd end);
  // The request notices that its engine is dead.
  void notices_death(RequestId request, EngineId engine);

  // ---- what the caller does with actions ----
  void carry_out(const Inspect& action);
  void carry_out(const Spawn& action);
  void carry_out(const Stop& action);
  void carry_out(const Park& action);
  void carry_out(const Wake& action);
  void carry_out(const DropPages&) {}
  void carry_out(const ReadAhead&) {}
  void carry_out(const Kill& action);
  void parked(EngineId engine);
  void carry_out(const Grant& action);
  void carry_out(const Done&) {}
  void carry_out(const Reject&) {}
  void carry_out(const Abort& action);
  void engine_dies(EngineId engine, ErrorCode code, const char* why);
  void engine_hangs(EngineId engine);
  void watchdog_notices(EngineId engine);
  Footprint footprint_of(const ModelId& model);
  // Something of the host's memory, and perhaps of devices; at most so many times 100 MiB of each.
  Footprint some_footprint(std::uint64_t most);

  std::mt19937_64 random_;
  Profile profile_;
  ContextOptions options_;  // as read last
  ContextManager manager_;
  Referee referee_;
  bool keep_log_;
  std::string log_;

  TimePoint now_ = TimePoint(seconds(1));
  std::multimap<TimePoint, std::function<void()>> agenda_;  // equal times: in the order they were planned
  std::uint64_t steps_ = 0;
  std::uint64_t next_request_ = 1;
  bool settling_ = false;  // there are no more faults and arrivals
  bool draining_ = false;
  std::uint64_t life_ = 0;
  History kept_;  // the core's, as it was when it was saved last
  std::map<ModelId, Footprint> footprints_;
  std::set<EngineId> hanging_;
  std::set<RequestId> poison_;
  Duration longest_wait_{};  // in a calm schedule

  // The versions of a model's file, as numbers.
  std::map<ModelId, int> file_;   // on disk
  std::map<ModelId, int> known_;  // that the catalog knows
  std::map<EngineId, int> spec_;  // that was known when the engine was started
  std::map<EngineId, int> read_;  // that the engine read when it began to load
  std::set<EngineId> torn_;  // engines whose file was replaced while they read it: they may have a part of each version
  std::map<RequestId, int> asked_;  // that was on disk when the request came
  std::map<ModelId, EngineId> latest_engine_;
  std::map<ModelId, ModelAdded> catalog_;
  Coverage coverage_;
};

Profile World::make_profile() {
  Profile p;
  p.calm = chance(0.25);
  p.models = 2 + static_cast<int>(pick(7));
  p.arrivals = 20 + static_cast<int>(pick(80));
  p.span = between(seconds(2), seconds(30));
  p.fault = chance(0.3) ? 0.0 : static_cast<double>(pick(40)) / 100;
  if (p.calm) {
    // Few models and a long time, so that a model that starves does so beyond the bound.
    if (p.models > 2) p.models = 2 + static_cast<int>(pick(3));
    p.span = seconds(60);
  }
  p.operators = p.calm ? 0 : static_cast<double>(pick(50)) / 100;
  p.leave = chance(0.2) ? 0 : static_cast<double>(pick(40)) / 100;
  if (!p.calm && chance(0.3)) p.poison = 0.1;
  if (!p.calm && chance(0.5)) p.restarts = 0.2;
  if (p.calm && chance(0.3)) p.models = chance(0.8) ? 2 : 10;
  p.urgent = p.calm && p.models > 2 && p.models < 10 && chance(0.1);
  if (p.urgent) p.span = seconds(300);
  p.flood = p.calm && !p.urgent && p.models < 10 && chance(0.4);
  if (p.flood) p.arrivals = 5 + static_cast<int>(pick(15));
  const std::vector<std::string> policies = policy_names();
  p.policy = policies[pick(policies.size())];
  p.options.memory_budget = chance(0.15) ? Bytes(UINT64_MAX) : Bytes::mib(400 + 100 * pick(12));
  if (chance(0.4)) {
    for (std::uint64_t i = 0, devices = 1 + pick(Footprint::kMostDevices); i < devices; ++i) {
      p.options.devices.push_back({std::string(1, static_cast<char>('0' + i)), Bytes::mib(400 + 100 * pick(12))});
    }
  }
  p.options.max_models = chance(0.4) ? 0 : 1 + pick(4);
  p.options.max_queue_per_model = p.calm || chance(0.7) ? 128 : 1 + pick(6);
  if (p.flood) p.options.max_queue_per_model = 1024;
  p.options.max_queue = p.calm || chance(0.7) ? 1024 : 2 + pick(12);
  p.options.load_timeout = seconds(5);
  p.options.min_residency = chance(0.3) ? Duration::zero() : between(milliseconds(1), seconds(2));
  p.options.head_start = chance(0.3) ? Duration::zero() : between(milliseconds(1), seconds(5));
  p.options.max_switches_per_second = chance(0.5) ? 0 : 1 + pick(4);
  p.options.quarantine_first = milliseconds(500);
  p.options.quarantine_max = seconds(4);
  p.options.jitter_seed = pick(UINT64_MAX);
  if (!p.calm) p.options.parking = some_parking_limits();
  if (chance(0.4)) p.options.prediction = {.preload = chance(0.8), .read_ahead = chance(0.5)};
  // Guesses are for when nothing goes on.
  if (p.options.prediction.preload && !p.calm && chance(0.5)) p.span = between(seconds(60), seconds(200));
  if (!p.calm && chance(0.4)) p.schedules = 0.3;
  p.parks = chance(0.2) ? 0 : chance(0.5) ? 1 : 0.7;
  if (!p.calm && chance(0.5)) p.replaced = static_cast<double>(pick(20)) / 100;
  return p;
}

ModelId World::any_model() {
  // Some models are asked for more often; now and then a request names one that does not exist.
  if (!profile_.calm && chance(0.02)) return "nobody";
  const std::uint64_t models = static_cast<std::uint64_t>(profile_.models);
  return model_name(std::min(pick(models), pick(models)));
}

// ---- the course of things ----

void World::deliver(const Event& event) {
  ++steps_;
  if (keep_log_) {
    const auto ms = std::chrono::duration_cast<milliseconds>(now_.time_since_epoch()).count();
    log_ += fmt::format("{:>8} ms  {}\n", ms, to_text(event));
  }
  for (const Action& action : referee_.step(now_, event)) {
    if (keep_log_) log_ += fmt::format("{:>13} -> {}\n", "", to_text(action));
    std::visit([this](const auto& a) { carry_out(a); }, action);
  }
  if (profile_.restarts > 0 && chance(0.1)) kept_ = referee_.history();
}

// Whether nothing is left to do before `end`.
bool World::run_until(TimePoint end) {
  while (true) {
    expect(steps_ < kMaxEvents, "the schedule does not come to an end");
    const TimePoint next = agenda_.empty() ? TimePoint::max() : agenda_.begin()->first;
    TimePoint timer = manager_.next_timer().value_or(TimePoint::max());
    // The timers of a busy process are late.
    if (timer < next && timer > now_ && chance(0.3)) timer += milliseconds(static_cast<std::int64_t>(pick(40)));
    if (std::min(next, timer) > end) {
      now_ = std::max(now_, end);
      return agenda_.empty() && !manager_.next_timer();
    }
    if (timer < next || (timer == next && chance(0.5))) {
      now_ = std::max(now_, timer);
      deliver(TimerFired{});
      continue;
    }
    now_ = std::max(now_, next);
    const auto what = std::move(agenda_.begin()->second);
    agenda_.erase(agenda_.begin());
    what();
  }
}

ScheduleResult World::play() {
  ScheduleResult result;
  try {
    if (keep_log_) {
      log_ += fmt::format("{} models, budget {}, max_models {}, {}{}\n", profile_.models,
                          format_bytes(profile_.options.memory_budget), profile_.options.max_models, profile_.policy,
                          profile_.calm ? ", calm" : "");
    }
    plan_arrivals();
    const TimePoint end = now_ + profile_.span;
    run_until(end);
    settle();
  } catch (const BrokenInvariant& e) {
    result.broken = e.what();
  }
  result.steps = steps_;
  result.log = std::move(log_);
  result.coverage = referee_.coverage();
  result.coverage.merge(coverage_);
  return result;
}

void World::plan_arrivals() {
  for (int i = 0; i < profile_.models; ++i) {
    const ModelId id = model_name(static_cast<std::uint64_t>(i));
    // A calm schedule asks for nothing that is impossible.
    const std::uint64_t most = profile_.calm ? 4 : 8;
    footprints_[id] = some_footprint(most);
    add(profile_.calm ? ModelAdded{.model = id, .slots = profile_.flood ? 1 + static_cast<unsigned>(pick(3)) : 0}
                      : some_entry(id));
  }
  for (int i = 0; i < profile_.models; ++i) {
    if (chance(profile_.schedules)) {
      follow_schedule(model_name(static_cast<std::uint64_t>(i)), between(milliseconds(500), seconds(6)));
    }
  }
  const TimePoint end = now_ + profile_.span;
  if (profile_.calm) {
    // The longest wait: all other models have a turn first, and in each turn a model drains, stops, is inspected and
    // loads. A switch may also have to wait because of the limit on switches per second.
    const Duration turn =
        kLeaseMax + profile_.options.min_residency + kParkMax + kStopMax + kInspectMax + kLoadMax + seconds(1);
    // A later request may have gone first, but only if it came within this time.
    longest_wait_ = (profile_.models + 1) * turn + 2 * profile_.options.head_start;
    referee_.bound_waits(longest_wait_);
    // Two models that take turns all the time, perhaps with room for one; or a few of several.
    const auto models = static_cast<std::uint64_t>(profile_.models);
    const std::uint64_t busy = profile_.urgent ? models - 1 : profile_.models == 2 ? 2 : pick(models);
    if (profile_.leave == 0) referee_.demand_progress();
    if (profile_.flood) plan_flood();
    for (std::uint64_t i = 0; i < busy && !profile_.flood; ++i) steady_traffic(model_name(i), end);
  }
  for (int i = 0; i < profile_.arrivals;) {
    const Duration when = between(Duration::zero(), profile_.span);
    const int burst = chance(0.3) ? 1 + static_cast<int>(pick(8)) : 1;
    const ModelId model = any_model();
    for (int j = 0; j < burst; ++j, ++i) {
      if (chance(profile_.operators)) {
        outside(when, [this] { operator_calls(); });
      } else {
        outside(when, [this, model] { client_arrives(model); });
      }
    }
  }
}

void World::plan_flood() {
  const int requests = 150 + static_cast<int>(pick(150));
  outside(between(Duration::zero(), profile_.span / 4), [this, requests, model = any_model()] {
    for (int i = 0; i < requests; ++i) client_arrives(model, {kFlooder, Priority::kNormal});
  });
}

// Faults stop, operators undo what is in the way, and everything must end by itself.
void World::settle() {
  settling_ = true;
  profile_.leave = 0;
  if (!draining_) {
    deliver(PressureChanged{false, Bytes()});
    const PredictionOptions prediction = options_.prediction;
    options_ = profile_.options;
    options_.prediction = prediction;
    deliver(OptionsChanged{options_});
    for (const ModelView& model : manager_.models(now_)) {
      // A ttl would be tried again for ever if an image finds no room.
      add(ModelAdded{.model = model.id});
      deliver(PinRequested{new_request(), model.id, false});
    }
  }
  // Requests with a far deadline must be answered long before it.
  const TimePoint end = now_ + std::chrono::hours(1);
  expect(run_until(end), "something still goes on after an hour without arrivals");
  referee_.check_finished();
  if (!draining_) {
    deliver(DrainRequested{now_ + seconds(30)});
    run_until(now_ + seconds(60));
  }
  expect(manager_.drained() && referee_.live_engines() == 0, "it does not drain");
  referee_.check_finished();
}

// ---- callers ----

TimePoint World::some_deadline() {
  // The longest wait that the bound allows: no request may be shed.
  if (profile_.calm && !profile_.flood && !settling_) return now_ + longest_wait_;
  if (settling_ || profile_.flood || chance(0.5)) return now_ + std::chrono::hours(10);
  if (chance(0.05)) return chance(0.5) ? now_ : TimePoint::max();
  return now_ + between(milliseconds(1), seconds(10));
}

Caller World::some_caller() {
  // Each request has its own caller, so that only the flooder has several.
  if (profile_.flood) return {UserId{2'000 + next_request_}, Priority::kNormal};
  return {UserId{1 + pick(4)}, profile_.urgent || chance(0.5) ? Priority::kNormal : static_cast<Priority>(pick(3))};
}

unsigned World::some_slots(const ModelId& model) {
  if (chance(0.1)) return 0;
  if (chance(0.8)) return 1;
  const auto entry = catalog_.find(model);
  const unsigned most = entry == catalog_.end() ? 0 : entry->second.slots;
  if (profile_.calm) return most == 0 ? 1 : 1 + static_cast<unsigned>(pick(most));
  return 2 + static_cast<unsigned>(pick(3));
}

void World::client_arrives(const ModelId& model, Caller caller) {
  const RequestId request = new_request();
  if (chance(profile_.leave)) {
    const bool soon = chance(0.5);
    at(between(Duration::zero(), soon ? milliseconds(50) : seconds(5)), [this, request] {
      const SimRequest& r = referee_.requests().at(request);
      if (r.status == SimRequest::Status::kGranted) {
        release(request, LeaseEnd::kCancelled);
      } else {
        deliver(RequestCancelled{request});
      }
    });
  }
  if (chance(profile_.poison)) poison_.insert(request);
  look_at_file(model, "request");
  asked_[request] = file_[model];
  deliver(LeaseRequested{request, model, some_deadline(), caller, /*looking=*/false, some_slots(model)});
  if (static_cast<std::uint64_t>(request) % kClientsForALook != 0) return;
  const RequestId look = new_request();
  asked_[look] = 0;  // a look is answered by whatever version its engine has
  deliver(LeaseRequested{look, model, TimePoint::max(), caller, /*looking=*/true});
}

void World::steady_traffic(const ModelId& model, TimePoint end) {
  if (now_ >= end) return;
  // The queues are long enough for what comes while all others have a turn.
  outside(between(milliseconds(1), milliseconds(400) * std::max(2, profile_.models)), [this, model, end] {
    client_arrives(model, profile_.urgent ? Caller{UserId{1}, Priority::kHigh} : some_caller());
    steady_traffic(model, end);
  });
}

void World::operator_calls() {
  if (chance(profile_.restarts)) return restart();
  const ModelId model = any_model();
  const RequestId request = new_request();
  const bool force = chance(0.3);
  switch (pick(18)) {
    case 0:
    case 1:
    case 2:
      deliver(LoadRequested{request, model, chance(0.5), force, some_deadline()});
      break;
    case 3:
    case 4:
    case 5:
      deliver(UnloadRequested{request, model, force, some_deadline()});
      break;
    case 6:
    case 7:
      deliver(PinRequested{request, model, chance(0.5)});
      return;
    case 8:
      remove(model);
      return;
    case 9: {
      if (model == "nobody") return;
      add(some_entry(model));
      return;
    }
    case 10: {
      const Bytes budget = chance(0.5) ? profile_.options.memory_budget : Bytes::mib(100 * (1 + pick(16)));
      change_limits(budget, chance(0.5) ? profile_.options.max_models : pick(5));
      return;
    }
    case 11:
      configuration_changes();
      return;
    case 12:
    case 13:
      deliver(ParkRequested{request, model, force, some_deadline()});
      break;
    case 14: {
      const bool lasts = chance(0.7);
      deliver(PressureChanged{lasts, Bytes::mib(100 * pick(10))});
      if (lasts) at(between(milliseconds(100), seconds(3)), [this] { deliver(PressureChanged{false, Bytes()}); });
      return;
    }
    case 15:
      deliver(FootprintMeasured{EngineId{1 + pick(20)}, some_footprint(7)});
      return;
    case 16:
      deliver(ClearRequested{.stats = chance(0.5), .history = chance(0.5), .images = chance(0.5)});
      return;
    default:
      stray_event();
      if (chance(0.1)) {
        draining_ = true;
        deliver(DrainRequested{now_ + between(Duration::zero(), seconds(5))});
      }
      return;
  }
  if (chance(profile_.leave))
    at(between(Duration::zero(), seconds(3)), [=, this] { deliver(RequestCancelled{request}); });
}

// As the timetable does: it loads only into free room, and unloads nothing that is in use.
void World::follow_schedule(const ModelId& model, Duration period) {
  if (settling_) return;
  at(period, [=, this] {
    if (chance(0.7)) {
      deliver(LoadRequested{new_request(), model, /*preload=*/true, /*force=*/false, now_ + seconds(5)});
    } else if (const auto view = manager_.model(model, now_); view && view->leases == 0) {
      deliver(UnloadRequested{new_request(), model, /*force=*/false, now_});
    }
    follow_schedule(model, period);
  });
}

void World::stray_event() {
  const EngineId engine{pick(50)};
  switch (pick(7)) {
    case 0:
      deliver(EngineReady{engine});
      break;
    case 1:
      deliver(LeaseReleased{RequestId{1'000'000 + pick(10)}, LeaseEnd::kCompleted});
      break;
    case 2:
      deliver(EngineStalled{engine});
      break;
    case 3:
      deliver(EngineParked{engine, Bytes::mib(pick(100)), Bytes()});
      break;
    case 4:
      deliver(ParkRefused{engine, Error{ErrorCode::kIo, "the disk is full"}});
      break;
    case 5:
      deliver(EngineWoken{engine});
      break;
    default:
      deliver(LeaseLost{RequestId{1 + pick(next_request_ - 1)}, some_deadline()});
  }
}

ParkingLimits World::some_parking_limits() {
  ParkingLimits limits;
  limits.enabled = chance(0.85);
  if (chance(0.5)) limits.memory = Bytes::mib(20 * pick(20));
  if (chance(0.5)) limits.images = Bytes::mib(50 * pick(20));
  return limits;
}

ModelAdded World::some_entry(const ModelId& model) {
  ModelAdded added{.model = model, .pinned = chance(0.1)};
  if (chance(0.2)) added.preload = PreloadStrategy::kEager;
  if (chance(0.2)) added.ttl = between(milliseconds(100), seconds(4));
  if (chance(0.6)) added.slots = 1 + static_cast<unsigned>(pick(4));
  if (chance(0.1)) added.unload_ttl = added.ttl + between(milliseconds(100), seconds(4));
  return added;
}

void World::add(ModelAdded entry) {
  catalog_[entry.model] = entry;
  entry.outdated = entry.outdated || runs_another_file(entry.model);
  deliver(entry);
}

void World::remove(const ModelId& model) {
  catalog_.erase(model);
  deliver(ModelRemoved{model});
}

// ---- files ----

void World::perhaps_replace_file(const ModelId& model, Duration within, const char* doing) {
  if (settling_ || !chance(profile_.replaced)) return;
  at(between(Duration::zero(), within), [=, this] {
    ++file_[model];
    footprints_[model] = some_footprint(8);
    ++coverage_[fmt::format("file replaced while {}", doing)];
    at(between(Duration::zero(), kWatchMax), [=, this] { look_at_file(model, "watch"); });
  });
}

void World::look_at_file(const ModelId& model, const char* by) {
  if (std::exchange(known_[model], file_[model]) == file_[model]) return;
  const auto entry = catalog_.find(model);
  if (entry == catalog_.end()) return;
  ++coverage_[fmt::format("replaced file noticed by {}", by)];
  ModelAdded again = entry->second;
  const auto engine = latest_engine_.find(model);
  again.outdated =
      engine == latest_engine_.end() || referee_.engines().at(engine->second).dead || runs_another_file(model);
  deliver(again);
}

bool World::runs_another_file(const ModelId& model) const {
  const auto engine = latest_engine_.find(model);
  if (engine == latest_engine_.end() || referee_.engines().at(engine->second).dead) return false;
  const auto known = known_.find(model);
  return spec_.at(engine->second) != (known == known_.end() ? 0 : known->second);
}

// A new config is read while everything goes on.
void World::configuration_changes() {
  for (int i = 0; i < profile_.models; ++i) {
    const ModelId id = model_name(static_cast<std::uint64_t>(i));
    if (chance(0.6)) continue;
    if (chance(0.1)) {
      remove(id);
    } else {
      ModelAdded added = some_entry(id);
      added.outdated = chance(0.4);
      if (added.outdated && chance(0.5)) footprints_[id] = some_footprint(8);
      add(added);
    }
  }
  if (chance(0.5)) {
    options_.max_queue_per_model = chance(0.3) ? 128 : 1 + pick(6);
    options_.max_queue = chance(0.3) ? 1024 : 1 + pick(12);
    options_.load_timeout = between(milliseconds(500), seconds(8));
    options_.min_residency = chance(0.3) ? Duration::zero() : between(milliseconds(1), seconds(3));
    options_.head_start = between(Duration::zero(), seconds(5));
    options_.max_switches_per_second = pick(5);
    deliver(OptionsChanged{options_});
  }
  if (chance(0.5)) change_limits(Bytes::mib(100 * (1 + pick(16))), pick(5));
  if (chance(0.2)) {
    options_.prediction = {.preload = chance(0.5), .read_ahead = chance(0.5)};
    deliver(OptionsChanged{options_});
  }
}

void World::change_limits(Bytes budget, std::size_t max_models) {
  options_.memory_budget = budget;
  options_.max_models = max_models;
  for (Device& device : options_.devices) {
    if (chance(0.5)) device.memory_budget = Bytes::mib(100 * (1 + pick(16)));
  }
  options_.parking = some_parking_limits();
  deliver(OptionsChanged{options_});
}

// The process ends by a kill or after a drain. The next one starts some time later with what was saved.
void World::restart() {
  ++life_;
  manager_ = ContextManager(profile_.options, make_policy(profile_.policy).value());
  referee_.restarted(profile_.options);
  options_ = profile_.options;
  draining_ = false;
  hanging_.clear();
  spec_.clear();
  read_.clear();
  torn_.clear();
  latest_engine_.clear();
  catalog_.clear();
  known_ = file_;
  if (chance(0.3)) now_ += between(Duration::zero(), seconds(60));
  for (int i = 0; i < profile_.models; ++i) {
    if (chance(0.1)) continue;  // the model's file is gone
    add(some_entry(model_name(static_cast<std::uint64_t>(i))));
  }
  deliver(HistoryRestored{kept_, /*bring_back=*/chance(0.9)});
  for (const ModelHistory& model : kept_.models) {
    if (!model.resident || !chance(0.1)) continue;
    const RequestId request = new_request();
    at(between(Duration::zero(), seconds(1)),
       [this, request, id = model.id] { deliver(UnloadRequested{request, id, chance(0.3), some_deadline()}); });
  }
}

void World::release(RequestId request, LeaseEnd end) {
  if (referee_.requests().at(request).status == SimRequest::Status::kGranted) deliver(LeaseReleased{request, end});
}

void World::answered(RequestId request, LeaseEnd end) {
  const SimRequest& r = referee_.requests().at(request);
  if (r.status != SimRequest::Status::kGranted || hanging_.contains(r.engine)) return;
  if (!referee_.engines().at(r.engine).dead) release(request, end);
}

void World::notices_death(RequestId request, EngineId engine) {
  const SimRequest& r = referee_.requests().at(request);
  if (r.status != SimRequest::Status::kGranted || r.engine != engine) return;
  if (chance(0.7)) {
    deliver(LeaseLost{request, some_deadline()});
  } else {
    release(request, LeaseEnd::kFailed);  // part of it was answered
  }
}

// ---- engines ----

Footprint World::some_footprint(std::uint64_t most) {
  Footprint footprint(Bytes::mib(100 * (1 + pick(most))));
  for (std::size_t i = 0; i < profile_.options.devices.size(); ++i) {
    if (chance(0.5)) footprint.set(i + 1, Bytes::mib(100 * (1 + pick(most))));
  }
  return footprint;
}

Footprint World::footprint_of(const ModelId& model) {
  // A file that changes between two looks.
  if (faulty()) footprints_[model] = chance(0.1) ? Footprint() : some_footprint(9);
  return footprints_[model];
}

void World::carry_out(const Inspect& action) {
  perhaps_replace_file(action.model, kInspectMax, "it is inspected");
  const Duration delay = between(Duration::zero(), kInspectMax);
  if (faulty() && chance(0.5)) {
    at(delay,
       [=, this] { deliver(Inspected{action.model, action.ticket, fail(ErrorCode::kInvalidModel, "not a model")}); });
    return;
  }
  const Footprint footprint = footprint_of(action.model);
  const auto entry = catalog_.find(action.model);
  const unsigned usual = entry == catalog_.end() ? 0 : entry->second.slots;
  // Slots gave way, so that the model fits.
  const unsigned fewer = usual > 1 && !profile_.flood && chance(0.2) ? 1 + static_cast<unsigned>(pick(usual - 1)) : 0;
  at(delay, [=, this] { deliver(Inspected{action.model, action.ticket, footprint, std::nullopt, fewer}); });
  // The answer comes once more, when nobody asks any longer.
  if (faulty()) at(delay + milliseconds(300), [=, this] { deliver(Inspected{action.model, action.ticket, Bytes(1)}); });
}

void World::carry_out(const Spawn& action) {
  const EngineId engine = action.engine;
  latest_engine_[action.model] = engine;
  spec_[engine] = known_[action.model];
  read_[engine] = file_[action.model];
  perhaps_replace_file(action.model, kLoadMax, "it loads");
  const Duration load = between(milliseconds(1), kLoadMax);
  const bool can_park = chance(profile_.parks);
  if (faulty()) {
    switch (pick(4)) {
      case 0:
        engine_hangs(engine);
        return;
      case 1:
        at(between(Duration::zero(), load), [=, this] {
          engine_dies(engine, chance(0.5) ? ErrorCode::kInvalidModel : ErrorCode::kEngineCrashed, "it died in load");
        });
        return;
      case 2:
        at(load + seconds(4), [=, this] { deliver(EngineReady{engine, can_park}); });  // perhaps too late
        return;
      default:
        at(load + between(Duration::zero(), seconds(4)),
           [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "killed by signal 9"); });
        break;
    }
  }
  at(load, [=, this, model = action.model] {
    if (file_[model] != read_[engine]) torn_.insert(engine);
    look_at_file(model, "engine that is ready");
    deliver(EngineReady{engine, can_park});
    if (faulty()) deliver(EngineReady{engine});
  });
}

void World::engine_dies(EngineId engine, ErrorCode code, const char* why) {
  if (referee_.engines().at(engine).dead) {
    deliver(EngineExited{engine, Error{code, why}});  // reported twice
    return;
  }
  const std::set<RequestId> leases = referee_.engines().at(engine).leases;
  deliver(EngineExited{engine, Error{code, why}});
  // The requests of that engine notice this sooner or later, perhaps when its successor is ready.
  for (const RequestId request : leases)
    at(between(Duration::zero(), seconds(4)), [=, this] { notices_death(request, engine); });
  if (faulty()) at(between(milliseconds(1), seconds(6)), [=, this] { engine_dies(engine, code, why); });
}

void World::engine_hangs(EngineId engine) {
  hanging_.insert(engine);
  watchdog_notices(engine);
}

void World::watchdog_notices(EngineId engine) {
  at(between(milliseconds(500), kStallMax), [=, this] { deliver(EngineStalled{engine}); });
}

void World::carry_out(const Kill& action) {
  const EngineId engine = action.engine;
  at(between(Duration::zero(), kStopMax), [=, this] { engine_dies(engine, ErrorCode::kEngineTimeout, "it hung"); });
}

void World::carry_out(const Park& action) {
  const EngineId engine = action.engine;
  perhaps_replace_file(action.model, 2 * kParkMax, "it parks or is parked");
  const Duration delay = between(Duration::zero(), kParkMax);
  if (faulty()) {
    switch (pick(4)) {
      case 0:
        return engine_hangs(engine);
      case 1:
        at(delay, [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "it died while it parked"); });
        return;
      default: {
        const bool disk = chance(0.5);
        at(delay, [=, this] {
          deliver(ParkRefused{
              engine, disk ? Error{ErrorCode::kIo, "the disk is full"} : Error{ErrorCode::kConflict, "it is working"}});
        });
        return;
      }
    }
  }
  at(delay, [=, this] { parked(engine); });
  if (faulty()) at(delay + milliseconds(100), [=, this] { parked(engine); });  // reported twice
}

void World::parked(EngineId engine) {
  const SimEngine& e = referee_.engines().at(engine);
  if (e.dead) return;
  // Most engines keep little; some keep more than anybody would guess, or say so.
  const std::uint64_t share = chance(0.8) ? 1 + pick(10) : pick(150);
  Footprint residue(Bytes(e.footprint.host().count() / 100 * share));
  for (std::size_t pool = 1; pool < Footprint::kPools; ++pool) {
    if (chance(0.1)) residue.set(pool, Bytes(e.footprint.of(pool).count() / 100 * share));
  }
  const Bytes image = std::max(e.image, Bytes::mib(10 * pick(20)));
  if (image > e.max_image) {
    deliver(ParkRefused{engine, Error{ErrorCode::kConflict, "its image would be too large"}, image});
  } else {
    deliver(EngineParked{engine, residue, image, Bytes::mib(10 * pick(40))});
  }
}

void World::carry_out(const Wake& action) {
  const EngineId engine = action.engine;
  perhaps_replace_file(action.model, kWakeMax, "it wakes");
  const Duration delay = between(Duration::zero(), kWakeMax);
  if (faulty()) {
    if (chance(0.5)) return engine_hangs(engine);
    at(delay, [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "its image is damaged"); });
    return;
  }
  at(delay, [=, this] {
    EngineWoken woken{.engine = engine, .cached = Bytes::mib(10 * pick(30)), .missing = Bytes::mib(10 * pick(30))};
    if (woken.missing > Bytes() && chance(0.7)) {
      woken.displaced = Bytes::mib(10 * pick(30));
      woken.page_cache = Bytes::mib(10 * pick(100));
    }
    deliver(woken);
  });
}

void World::carry_out(const Stop& action) {
  const EngineId engine = action.engine;
  if (faulty() && chance(0.5)) at(Duration::zero(), [=, this] { deliver(EngineReady{engine}); });
  const Duration delay = between(Duration::zero(), faulty() ? seconds(8) : kStopMax);
  at(delay, [=, this] { engine_dies(engine, ErrorCode::kCancelled, "stopped"); });
}

void World::carry_out(const Grant& action) {
  const RequestId request = action.request;
  const EngineId engine = action.engine;
  expect(read_.at(engine) >= asked_.at(request), "a request is granted an engine of a file that was replaced before");
  expect(!torn_.contains(engine), "a request is granted an engine that read parts of two files");
  if (referee_.requests().at(request).looking) {
    return at(kLook, [=, this] { release(request, LeaseEnd::kCompleted); });
  }
  perhaps_replace_file(action.model, kLeaseMax, "it is used");
  if (hanging_.contains(engine)) return watchdog_notices(engine);
  if (poison_.contains(request)) {
    at(between(milliseconds(1), milliseconds(300)),
       [=, this] { engine_dies(engine, ErrorCode::kEngineCrashed, "a request killed it"); });
    return;
  }
  if (faulty() && chance(0.3)) return engine_hangs(engine);
  const LeaseEnd end = faulty() ? LeaseEnd::kFailed : LeaseEnd::kCompleted;
  const bool quick = !profile_.flood || referee_.requests().at(request).slots == 0;
  const Duration takes = chance(0.2) && quick ? Duration::zero() : between(quick ? milliseconds(1) : kSlow, kLeaseMax);
  at(takes, [=, this] { answered(request, end); });
}

void World::carry_out(const Abort& action) {
  const RequestId request = action.request;
  at(between(Duration::zero(), milliseconds(50)), [=, this] { release(request, LeaseEnd::kFailed); });
}

}  // namespace

void catch_failed_checks() {
  set_check_handler([](std::string_view what, const std::source_location&) { broken(std::string(what)); });
}

ScheduleResult run_schedule(std::uint64_t seed, bool keep_log) {
  World world(seed, keep_log);
  ScheduleResult result = world.play();
  result.seed = seed;
  return result;
}

}  // namespace minerva::sim
