// Source: L. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2),
// 1966. The variants compare what an eviction gains, its bytes for a time, with what the next load will cost, as
// GreedyDual-Size does (P. Cao, S. Irani, USITS 1997).
#include "cachesim/clairvoyant.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "cachesim/packing.h"
#include "minerva/base/check.h"

namespace minerva::cachesim {
namespace {

struct Variant {
  std::string_view name;
  bool by_size = false;
  bool by_cost = false;
  bool by_time = false;  // distances in seconds, not in requests
  bool by_set = false;   // the victims are the cheapest set, not the first that are enough
  bool planned = false;  // what the plan of packing.h keeps leaves last
};

// The next use that is farthest in requests is also farthest in time, so "belady" needs no variant by time.
constexpr std::array kVariants = {
    Variant{.name = "belady"},
    Variant{.name = "belady-size", .by_size = true},
    Variant{.name = "belady-cost", .by_size = true, .by_cost = true},
    Variant{.name = "belady-size-time", .by_size = true, .by_time = true},
    Variant{.name = "belady-cost-time", .by_size = true, .by_cost = true, .by_time = true},
    Variant{.name = "belady-set", .by_size = true, .by_cost = true, .by_set = true},
    Variant{.name = "planned", .by_size = true, .by_cost = true, .planned = true},
};

constexpr std::size_t kNever = SIZE_MAX;

// When each model is wanted next. Questions must go forward in time.
class Future {
 public:
  explicit Future(const Trace& trace) : uses_(trace.models.size()), position_(trace.models.size()) {
    for (std::uint32_t i = 0; i < trace.models.size(); ++i) indexes_.emplace(trace.models[i].id, i);
    for (std::size_t i = 0; i < trace.requests.size(); ++i) uses_[trace.requests[i].model].push_back(i);
  }

  // The first request for the model that was not issued yet.
  std::size_t next_use(const ModelId& id, std::size_t issued) {
    const std::uint32_t model = indexes_.at(id);
    const std::vector<std::size_t>& uses = uses_[model];
    std::size_t& position = position_[model];
    while (position < uses.size() && uses[position] < issued) ++position;
    return position < uses.size() ? uses[position] : kNever;
  }

 private:
  std::unordered_map<ModelId, std::uint32_t> indexes_;
  std::vector<std::vector<std::size_t>> uses_;  // of each model
  std::vector<std::size_t> position_;           // positions in `uses_`
};

class ClairvoyantPolicy final : public EvictionPolicy {
 public:
  // `plan`: for each request, whether it should be a hit; empty if there is no plan.
  ClairvoyantPolicy(const Variant& variant, const Trace& trace, std::vector<bool> plan, const Progress& progress)
      : variant_(variant),
        trace_(trace),
        plan_(std::move(plan)),
        progress_(progress),
        future_(std::make_unique<Future>(trace)) {}

  std::string_view name() const override { return variant_.name; }
  std::unique_ptr<EvictionPolicy> clone() const override {
    return std::make_unique<ClairvoyantPolicy>(variant_, trace_, plan_, progress_);
  }
  bool changes_with_time() const override { return true; }

  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    const std::size_t next = next_use(entry);
    double gain = distance(next);
    if (variant_.by_size) gain *= static_cast<double>(entry.footprint.count());
    if (variant_.by_cost) gain /= std::max(1.0, static_cast<double>(entry.reload_cost.count()));
    const bool kept = next != kNever && !plan_.empty() && plan_[next];
    return {.value = kept ? 1 / gain : -gain, .tiebreak = kNever - next, .insert_tick = entry.insert_tick};
  }

  std::string standing(const CacheEntry& entry, TimePoint /*now*/) const override {
    const std::size_t next = next_use(entry);
    return next == kNever ? "never wanted again" : fmt::format("wanted again by request {}", next);
  }

  std::optional<double> demand(const CacheEntry& entry, TimePoint /*now*/) const override {
    if (!variant_.by_set) return std::nullopt;
    return 1 / distance(next_use(entry));
  }

 private:
  std::size_t next_use(const CacheEntry& entry) const { return future_->next_use(entry.id, progress_.issued); }

  double distance(std::size_t next) const {
    if (next == kNever) return HUGE_VAL;
    const std::size_t current = progress_.issued == 0 ? 0 : progress_.issued - 1;
    if (!variant_.by_time) return static_cast<double>(std::max<std::size_t>(next - current, 1));
    // By the clock of the trace, which a closed loop falls behind. Two requests at once are a nanosecond apart, so that
    // sizes count.
    const Duration apart = trace_.requests[next].arrival - trace_.requests[current].arrival;
    return static_cast<double>(std::max(apart, Duration(1)).count());
  }

  Variant variant_;
  const Trace& trace_;
  std::vector<bool> plan_;
  const Progress& progress_;
  std::unique_ptr<Future> future_;  // a question moves it forward, but does not change what it says
};

}  // namespace

std::vector<std::string> clairvoyant_names() {
  std::vector<std::string> names;
  for (const Variant& variant : kVariants) names.emplace_back(variant.name);
  return names;
}

PolicyMaker make_clairvoyant(std::string_view name, const Trace& trace, const World& world, Bytes capacity) {
  const auto* const variant =
      std::find_if(kVariants.begin(), kVariants.end(), [&](const Variant& v) { return v.name == name; });
  check(variant != kVariants.end(), "there is no such clairvoyant policy");
  return [variant, capacity, &trace, &world](const Progress& progress) {
    std::vector<bool> plan = variant->planned ? plan_hits(trace, world, capacity) : std::vector<bool>();
    return std::make_unique<ClairvoyantPolicy>(*variant, trace, std::move(plan), progress);
  };
}

}  // namespace minerva::cachesim
