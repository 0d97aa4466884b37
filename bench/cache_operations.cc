// The cost of operations of ModelCache, by the number of resident models: a use; and a miss, which consists of four
// operations: a victim is chosen and removed, and another model is inserted and used.
//
// usage: cmake --build build/release --target cache_operations && build/release/bin/cache_operations
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <random>

#include "minerva/cache/model_cache.h"

namespace minerva {
namespace {

constexpr std::size_t kTimesAhead = 1 << 16;  // choices made before the clock starts

class Cache {
 public:
  Cache(std::string_view policy, std::size_t entries) : cache_(make_policy(policy).value()) {
    ids_.reserve(entries);
    for (std::size_t i = 0; i < entries; ++i) {
      ids_.push_back(fmt::format("org/model-{:07}", i));
      cache_.insert(ids_.back(), Bytes(1 + i % 1000), tick(), false);
      cache_.update(ids_.back(), Bytes(1 + i % 1000), std::chrono::milliseconds(1 + i % 7), false);
    }
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < kTimesAhead; ++i) chosen_.push_back(random() % entries);
  }

  void use() { cache_.use(ids_[chosen_[next_++ % kTimesAhead]], tick()); }
  void miss() {
    const ModelId victim = cache_.victim()->id;
    cache_.remove(victim, /*evicted=*/true);
    cache_.insert(victim, Bytes(1), tick(), false);
    cache_.use(victim, tick());
  }

 private:
  TimePoint tick() { return now_ += std::chrono::microseconds(1); }

  ModelCache cache_;
  std::vector<ModelId> ids_;
  std::vector<std::size_t> chosen_;
  std::size_t next_ = 0;
  TimePoint now_{};
};

void run(benchmark::State& state, std::string_view policy, void (Cache::*operation)()) {
  Cache cache(policy, static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) (cache.*operation)();
}

// The number in a row's name, "/1000000", is the number of entries.
BENCHMARK_CAPTURE(run, lru_use, "lru", &Cache::use)->RangeMultiplier(1000)->Range(1000, 1'000'000);
BENCHMARK_CAPTURE(run, lfu_use, "lfu", &Cache::use)->RangeMultiplier(1000)->Range(1000, 1'000'000);
BENCHMARK_CAPTURE(run, fifo_use, "fifo", &Cache::use)->RangeMultiplier(1000)->Range(1000, 1'000'000);
BENCHMARK_CAPTURE(run, gdsf_use, "gdsf", &Cache::use)->RangeMultiplier(1000)->Range(1000, 1'000'000);
BENCHMARK_CAPTURE(run, lru_miss, "lru", &Cache::miss)->RangeMultiplier(1000)->Range(1000, 1'000'000);
BENCHMARK_CAPTURE(run, lfu_miss, "lfu", &Cache::miss)->RangeMultiplier(1000)->Range(1000, 1'000'000);
BENCHMARK_CAPTURE(run, fifo_miss, "fifo", &Cache::miss)->RangeMultiplier(1000)->Range(1000, 1'000'000);
BENCHMARK_CAPTURE(run, gdsf_miss, "gdsf", &Cache::miss)->RangeMultiplier(1000)->Range(1000, 1'000'000);

}  // namespace
}  // namespace minerva

BENCHMARK_MAIN();
