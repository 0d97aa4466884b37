// The course of a schedule: what is planned, when time goes on, and how everything comes to an end.
#include "sim/world.h"

#include <fmt/format.h>

#include <algorithm>

namespace minerva::sim {
namespace {

constexpr std::uint64_t kMaxEvents = 200'000;

}  // namespace

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
  if (!p.calm && !p.options.devices.empty()) {
    p.others = chance(0.7);
    p.told = chance(0.7);
    p.lies = chance(0.5) ? 0.2 : 0;
  }
  if (!p.calm && chance(0.5)) p.replaced = static_cast<double>(pick(20)) / 100;
  return p;
}

ModelId World::any_model() {
  // Some models are asked for more often; now and then a request names one that does not exist.
  if (!profile_.calm && chance(0.02)) return "nobody";
  const std::uint64_t models = static_cast<std::uint64_t>(profile_.models);
  return model_name(std::min(pick(models), pick(models)));
}

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
  for (std::size_t i = 0; i < profile_.options.devices.size(); ++i) {
    const Bytes spare = profile_.calm ? Bytes() : Bytes::mib(100 * pick(3));
    capacity_.set(i + 1, profile_.options.devices[i].memory_budget + spare);
  }
  if (profile_.others) others_change();
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
    others_ = Footprint();
    deliver(DevicesChanged{});
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

// The process ends by a kill or after a drain. The next one starts some time later with what was saved.
void World::restart() {
  ++life_;
  manager_ = ContextManager(profile_.options, make_policy(profile_.policy).value());
  referee_.restarted(profile_.options);
  options_ = profile_.options;
  draining_ = false;
  hanging_.clear();
  taken_.clear();
  needs_percent_.clear();
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
  if (profile_.others && profile_.told) tell_of_devices();
  for (const ModelHistory& model : kept_.models) {
    if (!model.resident || !chance(0.1)) continue;
    const RequestId request = new_request();
    at(between(Duration::zero(), seconds(1)),
       [this, request, id = model.id] { deliver(UnloadRequested{request, id, chance(0.3), some_deadline()}); });
  }
}

}  // namespace minerva::sim
