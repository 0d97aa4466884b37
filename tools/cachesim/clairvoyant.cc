// Source: L. Belady, "A study of replacement algorithms for a virtual-storage computer", IBM Systems Journal 5(2),
// 1966; its relatives divide the gain of an eviction, its bytes for so long, by what the next load will cost, as
// GreedyDual-Size does (P. Cao, S. Irani, USITS 1997).
#include "cachesim/clairvoyant.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "minerva/base/check.h"

namespace minerva::cachesim {
namespace {

struct Variant {
  std::string_view name;
  bool by_size;
  bool by_cost;
  bool by_time;  // distances in seconds, not requests
};

// The next use that is farthest in requests is the farthest in time as well, so "belady" needs no twin.
constexpr std::array kVariants = {
    Variant{"belady", false, false, false},        Variant{"belady-size", true, false, false},
    Variant{"belady-cost", true, true, false},     Variant{"belady-size-time", true, false, true},
    Variant{"belady-cost-time", true, true, true},
};

constexpr std::size_t kNever = SIZE_MAX;

// When each model is wanted next. Asks about later and later times only.
class Future {
 public:
  explicit Future(const Trace& trace) : uses_(trace.models.size()), position_(trace.models.size()) {
    for (std::uint32_t i = 0; i < trace.models.size(); ++i) indexes_.emplace(trace.models[i].id, i);
    for (std::size_t i = 0; i < trace.requests.size(); ++i) uses_[trace.requests[i].model].push_back(i);
  }

  // The first request for it that was not issued yet.
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
  std::vector<std::size_t> position_;           // in these
};

class ClairvoyantPolicy final : public EvictionPolicy {
 public:
  ClairvoyantPolicy(const Variant& variant, const Trace& trace, const Progress& progress)
      : variant_(variant), trace_(trace), progress_(progress), future_(std::make_unique<Future>(trace)) {}

  std::string_view name() const override { return variant_.name; }
  bool changes_with_time() const override { return true; }

  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    const std::size_t next = future_->next_use(entry.id, progress_.issued);
    double gain = distance(next);
    if (variant_.by_size) gain *= static_cast<double>(entry.footprint.count());
    if (variant_.by_cost) gain /= std::max(1.0, static_cast<double>(entry.reload_cost.count()));
    return {.value = -gain, .tiebreak = kNever - next, .insert_tick = entry.insert_tick};
  }

 private:
  double distance(std::size_t next) const {
    if (next == kNever) return HUGE_VAL;
    const std::size_t current = progress_.issued == 0 ? 0 : progress_.issued - 1;
    if (!variant_.by_time) return static_cast<double>(next - current);
    // By the trace's clock, which a closed loop falls behind. Two at once are a nanosecond apart, so that sizes count.
    const Duration apart = trace_.requests[next].arrival - trace_.requests[current].arrival;
    return static_cast<double>(std::max(apart, Duration(1)).count());
  }

  Variant variant_;
  const Trace& trace_;
  const Progress& progress_;
  std::unique_ptr<Future> future_;  // what it has passed by changes, what it says does not
};

}  // namespace

std::vector<std::string> clairvoyant_names() {
  std::vector<std::string> names;
  for (const Variant& variant : kVariants) names.emplace_back(variant.name);
  return names;
}

PolicyMaker make_clairvoyant(std::string_view name, const Trace& trace) {
  const auto* const variant =
      std::find_if(kVariants.begin(), kVariants.end(), [&](const Variant& v) { return v.name == name; });
  check(variant != kVariants.end(), "there is no such clairvoyant policy");
  return [variant, &trace](const Progress& progress) {
    return std::make_unique<ClairvoyantPolicy>(*variant, trace, progress);
  };
}

}  // namespace minerva::cachesim
