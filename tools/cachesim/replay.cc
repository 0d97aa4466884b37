#include "cachesim/replay.h"

#include <algorithm>
#include <map>
#include <queue>
#include <set>
#include <unordered_map>
#include <variant>

#include "minerva/base/check.h"

namespace minerva::cachesim {
namespace {

// Not the beginning of time, which the core takes for "never".
constexpr TimePoint kStart = TimePoint(std::chrono::seconds(1));
// Some time must pass between two requests, however little: only then are policies asked again.
constexpr Duration kBetweenRequests = std::chrono::nanoseconds(1);

ContextOptions context_options(const Trace& trace, const ReplayOptions& options) {
  return {.max_models = 0,
          .memory_budget = options.capacity,
          .parking = {.enabled = false},
          .prediction = {.preload = options.predict},
          .max_queue_per_model = trace.requests.size() + 1,
          .max_queue = trace.requests.size() + 1,
          .load_timeout = Duration::max(),
          .min_residency = options.min_residency};
}

class Replay {
 public:
  Replay(const Trace& trace, const World& world, const PolicyMaker& make_policy, const ReplayOptions& options);
  Outcome play();

 private:
  struct Arrival {};
  struct Due {
    TimePoint at;
    std::uint64_t order;  // among events that are due together: in the order in which they were planned
    std::variant<Arrival, Event> what;
  };
  struct Later {
    bool operator()(const Due& a, const Due& b) const { return a.at != b.at ? a.at > b.at : a.order > b.order; }
  };

  void plan(TimePoint at, std::variant<Arrival, Event> what) { agenda_.push({at, planned_++, std::move(what)}); }
  void plan_next_request();
  void arrive();
  void deliver(const Event& event);

  void carry_out(const Inspect& action);
  void carry_out(const Spawn& action);
  void carry_out(const Stop& action);
  void carry_out(const Grant& action);
  void carry_out(const ReadAhead&) {}
  template <typename Other>
  void carry_out(const Other&) {
    check(false, "the replay was told to do what it gave no reason for");
  }
  std::uint32_t index_of(const ModelId& model) const { return indexes_.at(model); }

  const Trace& trace_;
  const World& world_;
  const ReplayOptions& options_;
  std::unordered_map<ModelId, std::uint32_t> indexes_;
  Progress progress_;  // declared before the manager, whose policy reads it
  ContextManager manager_;
  TimePoint now_ = kStart - kBetweenRequests;
  std::priority_queue<Due, std::vector<Due>, Later> agenda_;
  std::uint64_t planned_ = 0;
  std::vector<TimePoint> issued_at_;    // when each request was issued
  std::vector<std::uint64_t> waiting_;  // how many requests wait for each model
  std::set<EngineId> unasked_;          // engines whose load began while nobody waited, and that have served nobody yet
  Outcome outcome_;
};

Replay::Replay(const Trace& trace, const World& world, const PolicyMaker& make_policy, const ReplayOptions& options)
    : trace_(trace),
      world_(world),
      options_(options),
      manager_(context_options(trace, options), make_policy(progress_)) {
  check(world.models.size() == trace.models.size(), "the world is another trace's");
  check(options.capacity >= world.largest, "the capacity is less than the largest model");
  for (std::uint32_t i = 0; i < trace.models.size(); ++i) indexes_.emplace(trace.models[i].id, i);
  issued_at_.resize(trace.requests.size());
  waiting_.resize(trace.models.size());
  outcome_.waits.resize(trace.requests.size());
}

Outcome Replay::play() {
  for (const TraceModel& model : trace_.models) deliver(ModelAdded{.model = model.id});
  plan_next_request();
  while (true) {
    const TimePoint timer = manager_.next_timer().value_or(TimePoint::max());
    if (agenda_.empty() && timer == TimePoint::max()) break;
    if (agenda_.empty() || timer < agenda_.top().at) {
      now_ = std::max(now_, timer);
      deliver(TimerFired{});
      continue;
    }
    const Due due = agenda_.top();
    agenda_.pop();
    now_ = due.at;
    if (std::holds_alternative<Arrival>(due.what)) {
      arrive();
    } else {
      deliver(std::get<Event>(due.what));
    }
  }
  check(outcome_.granted.size() == trace_.requests.size(), "the replay ended before each request was served");
  outcome_.hits = manager_.cache_stats().hits;
  outcome_.misses = manager_.cache_stats().misses;
  outcome_.predictions = manager_.predictions();
  return std::move(outcome_);
}

void Replay::plan_next_request() {
  if (progress_.issued == trace_.requests.size()) return;
  const TimePoint arrives = kStart + trace_.requests[progress_.issued].arrival;
  plan(std::max(arrives, now_ + kBetweenRequests), Arrival{});
}

void Replay::arrive() {
  const std::size_t number = progress_.issued++;
  issued_at_[number] = now_;
  const TraceRequest& request = trace_.requests[number];
  ++waiting_[request.model];
  deliver(LeaseRequested{.request = RequestId{number},
                         .model = trace_.models[request.model].id,
                         .deadline = TimePoint::max(),
                         .caller = {.user = UserId{request.user + 1}}});
  if (options_.timed) plan_next_request();
}

void Replay::deliver(const Event& event) {
  for (const Action& action : manager_.step(now_, event)) {
    std::visit([this](const auto& a) { carry_out(a); }, action);
  }
  if (options_.after_step) options_.after_step(manager_);
  if (!options_.timed && std::holds_alternative<LeaseReleased>(event)) plan_next_request();
}

void Replay::carry_out(const Inspect& action) {
  plan(now_, Inspected{action.model, action.ticket, world_.models[index_of(action.model)].size});
}

void Replay::carry_out(const Spawn& action) {
  const std::uint32_t model = index_of(action.model);
  const WorldModel& facts = world_.models[model];
  if (waiting_[model] > 0) {
    outcome_.cold_wait += facts.reload;
  } else {
    unasked_.insert(action.engine);
  }
  outcome_.loaded += facts.size;
  outcome_.moves.push_back({.comes = true, .model = model});
  plan(now_ + facts.reload, EngineReady{.engine = action.engine, .can_park = false});
}

void Replay::carry_out(const Stop& action) {
  outcome_.moves.push_back({.comes = false, .model = index_of(action.model)});
  plan(now_, EngineExited{action.engine, {ErrorCode::kCancelled, "it was stopped"}});
}

void Replay::carry_out(const Grant& action) {
  const auto number = static_cast<std::uint32_t>(action.request);
  outcome_.granted.push_back(number);
  outcome_.waits[number] = now_ - issued_at_[number];
  --waiting_[trace_.requests[number].model];
  if (unasked_.erase(action.engine) > 0) outcome_.cold_wait += outcome_.waits[number];
  const Duration lasts = options_.timed ? trace_.requests[number].service : Duration::zero();
  plan(now_ + lasts, LeaseReleased{action.request});
}

}  // namespace

Outcome replay(const Trace& trace, const World& world, const PolicyMaker& make_policy, const ReplayOptions& options) {
  return Replay(trace, world, make_policy, options).play();
}

}  // namespace minerva::cachesim
