#include "cachesim/experiment.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <mutex>
#include <numeric>
#include <thread>

#include "cachesim/bounds.h"
#include "cachesim/clairvoyant.h"
#include "cachesim/lp_bound.h"
#include "cachesim/replay.h"
#include "minerva/base/check.h"

namespace minerva::cachesim {
namespace {

constexpr double kBytesInGb = 1e9;
constexpr std::string_view kYardstick = "lru";
constexpr std::string_view kPfooBound = "PFOO-L";
constexpr std::string_view kLpBound = "LP";

// What is measured: one row of each table.
struct Subject {
  std::string name;
  Kind kind = Kind::kPolicy;
  bool predicts = false;

  std::string label() const { return predicts ? name + ", predicting" : name; }
};

// The figures of one replay.
struct Figures {
  double cold_wait_s = 0;
  double hit_rate = 0;
  double loaded_gb = 0;
  double wait_s = 0;
  double p50_wait_s = 0;
  double p99_wait_s = 0;
  double guesses_made = 0;
  double guesses_used = 0;
  double guesses_wasted = 0;
  double guesses_saved_s = 0;
  double guesses_wasted_gb = 0;
};

// By nearest rank. Requires: sorted, not empty.
Duration percentile(const std::vector<Duration>& sorted, double percent) {
  constexpr double kPercent = 100;
  const auto rank = static_cast<std::size_t>(std::ceil(percent / kPercent * static_cast<double>(sorted.size())));
  return sorted[std::clamp<std::size_t>(rank, 1, sorted.size()) - 1];
}

Figures figures_of(Outcome outcome) {
  constexpr double kMedian = 50;
  constexpr double kTail = 99;
  constexpr double kPercent = 100;
  std::vector<Duration>& waits = outcome.waits;
  std::sort(waits.begin(), waits.end());
  double sum_s = 0;
  for (const Duration wait : waits) sum_s += in_seconds(wait);
  const auto requests = static_cast<double>(waits.size());
  const PredictionStats& guesses = outcome.predictions;
  return {.cold_wait_s = in_seconds(outcome.cold_wait),
          .hit_rate = kPercent * static_cast<double>(outcome.hits) / requests,
          .loaded_gb = static_cast<double>(outcome.loaded.count()) / kBytesInGb,
          .wait_s = sum_s / requests,
          .p50_wait_s = in_seconds(percentile(waits, kMedian)),
          .p99_wait_s = in_seconds(percentile(waits, kTail)),
          .guesses_made = static_cast<double>(guesses.made),
          .guesses_used = static_cast<double>(guesses.used),
          .guesses_wasted = static_cast<double>(guesses.wasted),
          .guesses_saved_s = in_seconds(guesses.saved),
          .guesses_wasted_gb = static_cast<double>(guesses.wasted_bytes.count()) / kBytesInGb};
}

Figures measure(const Subject& subject, const Trace& trace, const World& world, Bytes capacity, bool timed) {
  ReplayOptions options{.capacity = capacity, .timed = timed, .predict = subject.predicts};
  PolicyMaker maker = [&](const Progress&) { return make_policy(subject.name).value(); };
  switch (subject.kind) {
    case Kind::kBound:
      return {.cold_wait_s = subject.name == kLpBound ? lp_lower_bound_s(trace, world, capacity)
                                                      : pfoo_lower_bound_s(trace, world, capacity)};
    case Kind::kClairvoyant:
      maker = make_clairvoyant(subject.name, trace, world, capacity);
      break;
    case Kind::kInfinite:
      options.capacity = world.all;
      maker = [](const Progress&) { return make_lru_policy(); };
      break;
    case Kind::kPolicy:
      break;
  }
  return figures_of(replay(trace, world, maker, options));
}

Result<std::vector<Subject>> subjects_of(const ExperimentOptions& options) {
  std::vector<Subject> subjects;
  const auto add = [&](std::string_view name, Kind kind) {
    const bool there = std::any_of(subjects.begin(), subjects.end(), [&](const Subject& s) { return s.name == name; });
    if (there) return;
    subjects.push_back({std::string(name), kind});
    if (options.predict && kind == Kind::kPolicy) subjects.push_back({std::string(name), kind, /*predicts=*/true});
  };
  add(kYardstick, Kind::kPolicy);
  for (const std::string& name : options.policies) {
    if (const auto policy = make_policy(name); !policy) return fail(policy.error());
    add(name, Kind::kPolicy);
  }
  for (const std::string& name : clairvoyant_names()) add(name, Kind::kClairvoyant);
  // With timed requests the loads of several requests overlap: the bound holds for a closed loop only.
  if (!options.timed) add(kLpBound, Kind::kBound);
  if (!options.timed) add(kPfooBound, Kind::kBound);
  add("infinite memory", Kind::kInfinite);
  return subjects;
}

Spread spread_of(const std::vector<Figures>& runs, double Figures::* figure) {
  Spread spread;
  const auto count = static_cast<double>(runs.size());
  for (const Figures& run : runs) spread.mean += run.*figure / count;
  double squares = 0;
  for (const Figures& run : runs) squares += (run.*figure - spread.mean) * (run.*figure - spread.mean);
  if (runs.size() > 1) spread.deviation = std::sqrt(squares / (count - 1));
  return spread;
}

Row row_of(const Subject& subject, const std::vector<Figures>& runs) {
  std::optional<GuessFigures> guesses;
  if (subject.predicts) {
    guesses = {.made = spread_of(runs, &Figures::guesses_made).mean,
               .used = spread_of(runs, &Figures::guesses_used).mean,
               .wasted = spread_of(runs, &Figures::guesses_wasted).mean,
               .saved_s = spread_of(runs, &Figures::guesses_saved_s).mean,
               .wasted_gb = spread_of(runs, &Figures::guesses_wasted_gb).mean};
  }
  return {.name = subject.label(),
          .kind = subject.kind,
          .cold_wait_s = spread_of(runs, &Figures::cold_wait_s),
          .hit_rate = spread_of(runs, &Figures::hit_rate).mean,
          .loaded_gb = spread_of(runs, &Figures::loaded_gb).mean,
          .wait_s = spread_of(runs, &Figures::wait_s),
          .p50_wait_s = spread_of(runs, &Figures::p50_wait_s).mean,
          .p99_wait_s = spread_of(runs, &Figures::p99_wait_s).mean,
          .guesses = guesses,
          .gap_closed = std::nullopt};
}

void compare(Table& table, bool timed) {
  const auto figure = [&](const Row& row) { return timed ? row.wait_s.mean : row.cold_wait_s.mean; };
  const Row* best = nullptr;
  const Row* yardstick = nullptr;
  for (const Row& row : table.rows) {
    if (row.kind == Kind::kClairvoyant && (best == nullptr || figure(row) < figure(*best))) best = &row;
    if (row.name == kYardstick) yardstick = &row;
  }
  check(best != nullptr && yardstick != nullptr, "a table has nothing to compare with");
  table.best_clairvoyant = best->name;
  const double gap = figure(*yardstick) - figure(*best);
  if (gap <= 0) return;
  const double start = figure(*yardstick);
  for (Row& row : table.rows) {
    const bool is_policy = row.kind == Kind::kPolicy || row.kind == Kind::kClairvoyant;
    if (is_policy) row.gap_closed = (start - figure(row)) / gap;
  }
}

// Calls work(0), ..., work(count - 1), several of them at a time.
void share_out(unsigned jobs, std::size_t count, const std::function<void(std::size_t)>& work,
               const std::function<void(std::size_t, std::size_t)>& progress) {
  std::atomic<std::size_t> next = 0;
  std::mutex mutex;
  std::size_t done = 0;
  const auto worker = [&] {
    for (std::size_t i = next.fetch_add(1); i < count; i = next.fetch_add(1)) {
      work(i);
      const std::lock_guard lock(mutex);
      ++done;
      if (progress) progress(done, count);
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 1; i < jobs; ++i) threads.emplace_back(worker);
  worker();
}

}  // namespace

Result<Report> run_experiment(const Trace& trace, const ExperimentOptions& options) {
  const Result<std::vector<Subject>> subjects = subjects_of(options);
  if (!subjects) return fail(subjects.error());
  const std::size_t seeds = is_drawn(trace) ? std::max<std::size_t>(options.seeds, 1) : 1;
  std::vector<World> worlds;
  for (std::size_t seed = 1; seed <= seeds; ++seed) worlds.push_back(make_world(trace, seed));

  // Ordered by capacity, then subject, then seed.
  const std::size_t rows = subjects->size();
  std::vector<Figures> figures(options.capacities.size() * rows * seeds);
  const auto work = [&](std::size_t i) {
    const World& world = worlds[i % seeds];
    const double percent = options.capacities[i / seeds / rows];
    figures[i] = measure((*subjects)[i / seeds % rows], trace, world, world.capacity(percent), options.timed);
  };
  share_out(options.jobs, figures.size(), work, options.progress);

  Report report{.requests = trace.requests.size(),
                .models = trace.models.size(),
                .seeds = seeds,
                .timed = options.timed,
                .tables = {}};
  auto run = figures.begin();
  for (const double percent : options.capacities) {
    Table table{.capacity = percent, .capacity_gb = 0, .rows = {}, .best_clairvoyant = {}};
    for (const World& world : worlds) {
      table.capacity_gb +=
          static_cast<double>(world.capacity(percent).count()) / kBytesInGb / static_cast<double>(seeds);
    }
    for (const Subject& subject : *subjects) {
      const auto end = run + static_cast<std::ptrdiff_t>(seeds);
      table.rows.push_back(row_of(subject, {run, end}));
      run = end;
    }
    compare(table, options.timed);
    report.tables.push_back(std::move(table));
  }
  return report;
}

}  // namespace minerva::cachesim
