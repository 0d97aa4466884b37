#include "cachesim/generate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

namespace minerva::cachesim {
namespace {

// Only popularity, nothing else.
GeneratorOptions plain() {
  GeneratorOptions options;
  options.session = 1;
  options.diurnal = 0;
  options.drift_hours = 0;
  options.scan_hours = 0;
  return options;
}

std::map<ModelId, double> share_of_models(const Trace& trace, std::size_t first, std::size_t last) {
  std::map<ModelId, double> shares;
  for (std::size_t i = first; i < last; ++i) {
    shares[trace.models[trace.requests[i].model].id] += 1 / static_cast<double>(last - first);
  }
  return shares;
}

// The share of a user's requests that are for the same model as the request before.
double repeats(const Trace& trace) {
  std::map<std::uint32_t, std::uint32_t> last;
  double repeated = 0;
  double all = 0;
  for (const TraceRequest& request : trace.requests) {
    const auto before = last.find(request.user);
    if (before != last.end()) ++all;
    if (before != last.end() && before->second == request.model) ++repeated;
    last[request.user] = request.model;
  }
  return repeated / all;
}

TEST(Generate, ASeedIsATrace) {
  const GeneratorOptions first{.requests = 2000, .seed = 1};
  const GeneratorOptions second{.requests = 2000, .seed = 2};
  EXPECT_EQ(to_csv(generate(first)), to_csv(generate(first)));
  EXPECT_NE(to_csv(generate(first)), to_csv(generate(second)));
}

TEST(Generate, WhatItWritesIsATraceOfTheSizeAskedFor) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const GeneratorOptions options{
        .models = 1 + 7 * seed, .users = seed, .requests = 100 * seed, .seed = seed, .scan_hours = 1};
    const Trace trace = generate(options);
    EXPECT_EQ(trace.requests.size(), options.requests);
    EXPECT_LE(trace.models.size(), options.models);
    EXPECT_LE(trace.users.size(), options.users);
    const Result<Trace> again = parse_trace(to_csv(trace));
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(*again, trace);
  }
}

TEST(Generate, PopularityIsAsSkewedAsAsked) {
  for (const double zipf : {0.0, 0.7, 1.0, 1.5}) {
    GeneratorOptions options = plain();
    options.requests = 100'000;
    options.zipf = zipf;
    auto shares = share_of_models(generate(options), 0, options.requests);
    double sum = 0;
    for (std::size_t rank = 1; rank <= options.models; ++rank) sum += std::pow(static_cast<double>(rank), -zipf);
    // Nothing drifts, so a model's number is its rank.
    EXPECT_NEAR(shares["model-000"], 1 / sum, 0.005) << zipf;
    EXPECT_NEAR(shares["model-009"], std::pow(10.0, -zipf) / sum, 0.002) << zipf;
    EXPECT_NEAR(shares["model-049"], std::pow(50.0, -zipf) / sum, 0.002) << zipf;
  }
}

TEST(Generate, PopularityDriftsIfAsked) {
  GeneratorOptions options = plain();
  const auto moved = [&] {
    const Trace trace = generate(options);
    const std::size_t half = options.requests / 2;
    auto before = share_of_models(trace, 0, half);
    const auto after = share_of_models(trace, half, options.requests);
    double difference = 0;
    for (const auto& [model, share] : after) difference += std::abs(share - before[model]);
    return difference;
  };
  const double without = moved();
  options.drift_hours = 3;
  EXPECT_LT(without, 0.2);
  EXPECT_GT(moved(), 3 * without);
}

TEST(Generate, SessionsRepeatAModel) {
  GeneratorOptions options = plain();
  const double without = repeats(generate(options));
  options.session = 4;
  const double with = repeats(generate(options));
  EXPECT_LT(without, 0.15);
  EXPECT_GT(with, 0.6);
}

TEST(Generate, TheRateFollowsTheDay) {
  GeneratorOptions options = plain();
  const auto by_day = [&] {
    constexpr double kDayS = 86'400;
    double day = 0;
    double night = 0;
    for (const TraceRequest& request : generate(options).requests) {
      const double at_s = std::chrono::duration<double>(request.arrival).count();
      ++(std::fmod(at_s, kDayS) < kDayS / 2 ? day : night);
    }
    return day / night;
  };
  EXPECT_NEAR(by_day(), 1, 0.15);
  options.diurnal = 0.6;
  // (1 + 2 d / pi) / (1 - 2 d / pi)
  EXPECT_NEAR(by_day(), 2.24, 0.4);
}

TEST(Generate, AScanTouchesManyModelsOnce) {
  GeneratorOptions options = plain();
  options.zipf = 3;
  options.requests = 5000;
  const auto most_in_a_row = [&] {
    const Trace trace = generate(options);
    std::size_t most = 0;
    for (std::size_t first = 0; first + options.models <= trace.requests.size(); ++first) {
      std::set<std::uint32_t> models;
      for (std::size_t i = 0; i < options.models; ++i) models.insert(trace.requests[first + i].model);
      most = std::max(most, models.size());
    }
    return most;
  };
  EXPECT_LT(most_in_a_row(), 20U);
  options.scan_hours = 20;
  options.scan_share = 1;
  EXPECT_GE(most_in_a_row(), 45U);
}

}  // namespace
}  // namespace minerva::cachesim
