// Hazard: the model leaves first that is least likely to be wanted soon, weighed by what it costs to have it back and
// by the bytes it frees.
//
// The likelihood comes from rates of use over several time scales, kept for every model ever used, resident or not. A
// short scale knows which model is being worked with, a long one which is popular. Several scales are needed: which of
// them predicts best depends on how long victims stay away, and that depends on how much fits. Scales, weights and the
// exponent were chosen with tools/cachesim (docs/adr/0014-who-leaves.md).
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <unordered_map>

#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

struct Scale {
  double seconds;
  double weight;
};
constexpr double kHour = 3600;
constexpr std::array kScales = {
    Scale{.seconds = 60, .weight = 0.03},          Scale{.seconds = 600, .weight = 0.03},
    Scale{.seconds = 2 * kHour, .weight = 0.03},   Scale{.seconds = 24 * kHour, .weight = 0.10},
    Scale{.seconds = 300 * kHour, .weight = 0.81},
};
// A popular model that left is soon wanted back, and then others leave for it. So it is worth more than its own reload.
constexpr double kExponent = 1.5;

class HazardPolicy final : public EvictionPolicy {
 public:
  std::string_view name() const override { return "hazard"; }
  std::unique_ptr<EvictionPolicy> clone() const override { return std::make_unique<HazardPolicy>(*this); }
  bool changes_with_time() const override { return true; }

  EvictionRank rank(const CacheEntry& entry, TimePoint now) const override {
    const double seconds = reload_seconds(entry.reload_cost);
    const double bytes = std::max(static_cast<double>(entry.footprint.count()), 1.0);
    return {.value = *demand(entry, now) * seconds / bytes,
            .tiebreak = entry.last_use_tick,
            .insert_tick = entry.insert_tick};
  }

  std::string standing(const CacheEntry& entry, TimePoint now) const override {
    return fmt::format("expected {:.2g} times an hour, reloads in {}, holds {} MiB", kHour * rate(entry.id, now),
                       in_words(entry.reload_cost), entry.footprint.rounded_mib());
  }

  std::optional<double> demand(const CacheEntry& entry, TimePoint now) const override {
    return std::pow(rate(entry.id, now), kExponent);
  }

  void used(const CacheEntry& entry, TimePoint now) override {
    const auto [found, first] = histories_.try_emplace(entry.id, History{.last = now});
    History& history = found->second;
    const double passed = std::chrono::duration<double>(now - history.last).count();
    for (std::size_t i = 0; i < kScales.size(); ++i) {
      history.rates[i] = history.rates[i] * std::exp(-passed / kScales[i].seconds) + 1 / kScales[i].seconds;
    }
    history.last = now;
    if (histories_.size() > kMostHistories) forget_least_likely(entry.id, now);
  }

  std::optional<Learned> learned(const ModelId& id) const override {
    const auto found = histories_.find(id);
    if (found == histories_.end()) return std::nullopt;
    const History& history = found->second;
    return Learned{history.last, {history.rates.begin(), history.rates.end()}};
  }

  void learn(const ModelId& id, const Learned& learned) override {
    if (id.empty() || learned.values.size() != kScales.size()) return;
    History history{.last = learned.when};
    std::copy(learned.values.begin(), learned.values.end(), history.rates.begin());
    histories_.insert_or_assign(id, history);
    if (histories_.size() > kMostHistories) forget_least_likely(id, learned.when);
  }

  void forget() override { histories_.clear(); }

 private:
  struct History {
    TimePoint last;
    std::array<double, kScales.size()> rates{};  // in uses per second, as of then
  };

  // How many uses are to be expected in a second.
  double rate(const ModelId& id, TimePoint now) const {
    const auto found = histories_.find(id);
    if (found == histories_.end()) return 0;
    const double passed = std::chrono::duration<double>(now - found->second.last).count();
    double rate = 0;
    for (std::size_t i = 0; i < kScales.size(); ++i) {
      rate += kScales[i].weight * found->second.rates[i] * std::exp(-passed / kScales[i].seconds);
    }
    return rate;
  }

  // Names come and go. A model that comes back after this many other models counts as new.
  void forget_least_likely(const ModelId& but, TimePoint now) {
    auto least = histories_.end();
    double least_rate = 0;
    for (auto it = histories_.begin(); it != histories_.end(); ++it) {
      if (it->first == but) continue;
      const double its_rate = rate(it->first, now);
      const bool less =
          least == histories_.end() || its_rate < least_rate || (its_rate == least_rate && it->first < least->first);
      if (!less) continue;
      least = it;
      least_rate = its_rate;
    }
    histories_.erase(least);
  }

  static constexpr std::size_t kMostHistories = 2000;
  std::unordered_map<ModelId, History> histories_;
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_hazard_policy() { return std::make_unique<HazardPolicy>(); }

}  // namespace minerva
