#include "cachesim/generate.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <optional>
#include <tuple>

#include "cachesim/random.h"
#include "minerva/base/check.h"

namespace minerva::cachesim {
namespace {

constexpr double kHourS = 3600;
constexpr double kDayS = 24 * kHourS;
constexpr double kScanGapS = 2;
constexpr double kShortestServiceS = 1;
constexpr double kLongestServiceS = 3600;  // the most that a trace may say

// A CSV file has milliseconds. So what is generated is equal to what is read again.
Duration whole_milliseconds(double seconds) {
  constexpr double kMillisecondsInSecond = 1000;
  return std::chrono::milliseconds(std::llround(seconds * kMillisecondsInSecond));
}

class Generator {
 public:
  explicit Generator(const GeneratorOptions& options);
  Trace generate();

 private:
  struct Planned {
    double at_s;
    std::size_t model;
    std::size_t user;
  };

  // The time of the next event of a kind that comes every `hours` as a mean.
  double next_s(double hours) { return hours > 0 ? now_s_ + random_.exponential(hours * kHourS) : HUGE_VAL; }
  double session_rate() const {
    const double average = 1 / (options_.request_gap_s * std::max(1.0, options_.session));
    return average * (1 + options_.diurnal * std::sin(2 * std::numbers::pi * now_s_ / kDayS));
  }
  void drift();
  void scan();
  void start_session();
  std::size_t popular_model();
  Trace in_order();

  const GeneratorOptions& options_;
  Random random_;
  double now_s_ = 0;
  std::vector<std::size_t> model_of_rank_;
  std::vector<double> weight_up_to_;  // of the ranks 1, ..., cumulated
  std::vector<Planned> planned_;
};

Generator::Generator(const GeneratorOptions& options) : options_(options), random_(options.seed) {
  check(options.models > 0 && options.users > 0 && options.requests > 0, "a trace of nothing was asked for");
  model_of_rank_.resize(options.models);
  std::iota(model_of_rank_.begin(), model_of_rank_.end(), 0);
  double sum = 0;
  for (std::size_t rank = 1; rank <= options.models; ++rank) {
    sum += std::pow(static_cast<double>(rank), -options.zipf);
    weight_up_to_.push_back(sum);
  }
}

std::size_t Generator::popular_model() {
  const double at = random_.unit() * weight_up_to_.back();
  const auto rank = std::upper_bound(weight_up_to_.begin(), weight_up_to_.end(), at) - weight_up_to_.begin();
  return model_of_rank_[std::min(static_cast<std::size_t>(rank), options_.models - 1)];
}

// A model becomes known, or is forgotten: the models between move by one rank.
void Generator::drift() {
  const std::size_t from = random_.below(options_.models);
  const std::size_t to = random_.below(options_.models);
  const std::size_t model = model_of_rank_[from];
  model_of_rank_.erase(model_of_rank_.begin() + static_cast<std::ptrdiff_t>(from));
  model_of_rank_.insert(model_of_rank_.begin() + static_cast<std::ptrdiff_t>(to), model);
}

void Generator::scan() {
  std::vector<std::size_t> order(options_.models);
  std::iota(order.begin(), order.end(), 0);
  const auto touched = static_cast<std::size_t>(std::ceil(options_.scan_share * static_cast<double>(options_.models)));
  const std::size_t user = random_.below(options_.users);
  for (std::size_t i = 0; i < std::min(touched, order.size()); ++i) {
    std::swap(order[i], order[i + random_.below(order.size() - i)]);
    planned_.push_back({now_s_ + static_cast<double>(i) * kScanGapS, order[i], user});
  }
}

void Generator::start_session() {
  const std::size_t model = popular_model();
  const std::size_t user = random_.below(options_.users);
  const double goes_on = 1 - 1 / std::max(1.0, options_.session);
  double at_s = now_s_;
  do {
    planned_.push_back({at_s, model, user});
    at_s += random_.exponential(options_.session_gap_s);
  } while (random_.chance(goes_on));
}

Trace Generator::generate() {
  double drifts_at_s = next_s(options_.drift_hours);
  double scans_at_s = next_s(options_.scan_hours);
  while (planned_.size() < options_.requests) {
    // The rate changes slowly compared with the time between two sessions.
    now_s_ += random_.exponential(1 / session_rate());
    while (drifts_at_s <= now_s_) {
      drift();
      drifts_at_s += random_.exponential(options_.drift_hours * kHourS);
    }
    if (scans_at_s <= now_s_) {
      scan();
      scans_at_s = next_s(options_.scan_hours);
    }
    start_session();
  }
  return in_order();
}

Trace Generator::in_order() {
  std::sort(planned_.begin(), planned_.end(), [](const Planned& a, const Planned& b) {
    return std::tie(a.at_s, a.model, a.user) < std::tie(b.at_s, b.model, b.user);
  });
  planned_.resize(options_.requests);
  Trace trace;
  std::vector<std::optional<std::uint32_t>> models(options_.models);
  std::vector<std::optional<std::uint32_t>> users(options_.users);
  const double start_s = planned_.front().at_s;
  for (const Planned& planned : planned_) {
    if (!models[planned.model]) {
      models[planned.model] = static_cast<std::uint32_t>(trace.models.size());
      trace.models.push_back({.id = fmt::format("model-{:03}", planned.model)});
    }
    if (!users[planned.user]) {
      users[planned.user] = static_cast<std::uint32_t>(trace.users.size());
      trace.users.push_back(fmt::format("user-{:03}", planned.user));
    }
    const double drawn_s = kShortestServiceS + random_.exponential(std::max(0.0, options_.service_s - 1));
    const double service_s = std::min(drawn_s, kLongestServiceS);
    trace.requests.push_back({whole_milliseconds(planned.at_s - start_s), *models[planned.model], *users[planned.user],
                              whole_milliseconds(service_s)});
  }
  return trace;
}

}  // namespace

Trace generate(const GeneratorOptions& options) { return Generator(options).generate(); }

}  // namespace minerva::cachesim
