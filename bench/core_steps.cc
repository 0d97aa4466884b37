// The cost of one step of the core while models wait for room: a tenth of the models is in memory and busy, and the
// waiting requests are spread over the others. Half of the steps are requests that come; the others end these requests.
//
// usage: cmake --build build/release --target core_steps && build/release/bin/core_steps
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <algorithm>
#include <deque>

#include "minerva/base/check.h"
#include "minerva/context/context_manager.h"

namespace minerva {
namespace {

using std::chrono::hours;

constexpr Bytes kModel = Bytes::mib(100);

ContextOptions some_options(std::size_t hot) {
  ContextOptions options;
  options.memory_budget = Bytes(kModel.count() * hot);
  options.max_queue = options.max_queue_per_model = 1'000'000;
  options.min_residency = hours(1);  // no model leaves while the clock runs
  return options;
}

class Core {
 public:
  Core(std::size_t models, std::size_t waiting)
      : hot_(std::max<std::size_t>(1, models / 10)), manager_(some_options(hot_), make_policy("hazard").value()) {
    for (std::size_t i = 0; i < models; ++i) {
      ids_.push_back(fmt::format("org/model-{:04}", i));
      settle(ModelAdded{.model = ids_.back(), .slots = 4});
    }
    for (std::size_t i = 0; i < hot_; ++i) ask(ids_[i]);
    check(manager_.loaded_models().size() == hot_, "the models that can be in memory are there");
    for (std::size_t i = 0; i < waiting; ++i) ask(ids_[hot_ + i % (models - hot_)]);
    check(manager_.queued() == waiting, "the other requests wait");
  }

  // A request for a model in memory comes, gets a slot, and ends.
  void serve() {
    const RequestId request = ask(ids_[next_++ % hot_]);
    settle(LeaseReleased{request, LeaseEnd::kCompleted});
  }
  // A request for one of the other models comes, waits with those before it, and its client goes away.
  void wait() {
    const RequestId request = ask(ids_[hot_ + next_++ % (ids_.size() - hot_)]);
    settle(RequestCancelled{request});
  }

 private:
  RequestId ask(const ModelId& model) {
    const RequestId request{next_request_++};
    settle(LeaseRequested{request, model, now_ + hours(100)});
    return request;
  }
  // The event, and whatever the engines answer to its actions.
  void settle(Event first) {
    std::deque<Event> events = {std::move(first)};
    for (; !events.empty(); events.pop_front()) {
      now_ += std::chrono::microseconds(1);
      for (const Action& action : manager_.step(now_, events.front())) {
        if (const auto* const inspect = std::get_if<Inspect>(&action)) {
          events.push_back(Inspected{inspect->model, inspect->ticket, Footprint(kModel)});
        } else if (const auto* const spawn = std::get_if<Spawn>(&action)) {
          events.push_back(EngineReady{spawn->engine});
        }
      }
    }
  }

  std::size_t hot_;
  ContextManager manager_;
  std::vector<ModelId> ids_;
  TimePoint now_ = TimePoint(hours(1));
  std::uint64_t next_request_ = 1;
  std::size_t next_ = 0;
};

void run(benchmark::State& state, void (Core::*two_steps)()) {
  Core core(static_cast<std::size_t>(state.range(0)), static_cast<std::size_t>(state.range(1)));
  std::int64_t steps = 0;
  for (auto _ : state) {
    (core.*two_steps)();
    steps += 2;
  }
  state.counters["step"] =
      benchmark::Counter(static_cast<double>(steps), benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

// Models, and waiting requests.
void sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->Args({10, 100})->Args({100, 1'000})->Args({1'000, 10'000})->ArgNames({"models", "waiting"});
}

BENCHMARK_CAPTURE(run, serve, &Core::serve)->Apply(sizes)->Unit(benchmark::kMicrosecond);
BENCHMARK_CAPTURE(run, wait, &Core::wait)->Apply(sizes)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace minerva

BENCHMARK_MAIN();
