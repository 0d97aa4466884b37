// Greedy dual size frequency: ranks a model by what its uses save for each byte it holds, and inflates newer ranks so
// that old merit fades. Rank = inflation at the last use + uses x reload cost / bytes. A model that leaves sets the
// inflation to its own rank, so that a new model starts where the last victim ended (Cherkasova 1998). Uses are counted
// for ever, resident or not. Parking and stopping save and free different things, so there are two such caches, each
// with its own inflation.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "minerva/cache/eviction_policy.h"

namespace minerva {
namespace {

class GdsfPolicy final : public EvictionPolicy {
 public:
  std::string_view name() const override { return "gdsf"; }
  std::unique_ptr<EvictionPolicy> clone() const override { return std::make_unique<GdsfPolicy>(*this); }

  EvictionRank rank(const CacheEntry& entry, TimePoint /*now*/) const override {
    const auto history = histories_.find(entry.id);
    const bool used = entry.last_use_tick > 0 && history != histories_.end();
    const double uses = used ? history->second.uses : 0;
    const double inflation = used ? history->second.inflation[entry.parked] : 0;
    const double seconds = reload_seconds(entry.reload_cost);
    const double bytes = std::max(static_cast<double>(entry.footprint.count()), 1.0);
    return {
        .value = inflation + uses * seconds / bytes, .tiebreak = entry.last_use_tick, .insert_tick = entry.insert_tick};
  }

  std::string standing(const CacheEntry& entry, TimePoint /*now*/) const override {
    const auto history = histories_.find(entry.id);
    return fmt::format("used {:.0f} times, reloads in {}, holds {} MiB",
                       history == histories_.end() ? 0.0 : history->second.uses, in_words(entry.reload_cost),
                       entry.footprint.rounded_mib());
  }

  void used(const CacheEntry& entry, TimePoint /*now*/) override {
    History& history = histories_[entry.id];
    history.uses += 1;
    history.inflation = inflation_;
  }

  void evicted(const CacheEntry& entry) override {
    double& inflation = inflation_[entry.parked];
    inflation = std::max(inflation, rank(entry, {}).value);
  }

  std::optional<Learned> learned(const ModelId& id) const override {
    if (id.empty()) return Learned{{}, {inflation_.begin(), inflation_.end()}};
    const auto found = histories_.find(id);
    if (found == histories_.end()) return std::nullopt;
    const History& history = found->second;
    return Learned{{}, {history.uses, history.inflation[0], history.inflation[1]}};
  }

  void learn(const ModelId& id, const Learned& learned) override {
    const std::vector<double>& values = learned.values;
    if (id.empty() && values.size() == inflation_.size()) {
      inflation_ = {values[0], values[1]};
    } else if (!id.empty() && values.size() == 1 + inflation_.size()) {
      histories_.insert_or_assign(id, History{values[0], {values[1], values[2]}});
    }
  }

  void forget() override {
    histories_.clear();
    inflation_ = {};
  }

 private:
  struct History {
    double uses = 0;
    std::array<double, 2> inflation{};  // both inflations at the last use
  };

  std::unordered_map<ModelId, History> histories_;
  std::array<double, 2> inflation_{};  // one of models that were parked to make room, one of models that were stopped
};

}  // namespace

std::unique_ptr<EvictionPolicy> make_gdsf_policy() { return std::make_unique<GdsfPolicy>(); }

}  // namespace minerva
