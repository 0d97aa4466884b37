#include "cachesim/experiment.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "cachesim/clairvoyant.h"
#include "cachesim/generate.h"
#include "cachesim/random_traces.h"
#include "cachesim/report.h"

namespace minerva::cachesim {
namespace {

Trace small_trace() { return generate({.models = 12, .requests = 800}); }

const Row& row_of(const Table& table, std::string_view name) {
  const auto row = std::find_if(table.rows.begin(), table.rows.end(), [&](const Row& r) { return r.name == name; });
  EXPECT_NE(row, table.rows.end()) << name;
  return *row;
}

TEST(Experiment, IsTheSameHoweverManyShareTheWork) {
  std::size_t calls = 0;
  std::size_t last = 0;
  ExperimentOptions options{.capacities = {20, 40}, .seeds = 3, .policies = {"fifo"}};
  options.progress = [&](std::size_t done, std::size_t all) {
    ++calls;
    EXPECT_EQ(done, calls);
    last = all;
  };
  const Trace trace = small_trace();
  const std::string alone = to_json(run_experiment(trace, options).value());
  EXPECT_EQ(calls, last);
  EXPECT_EQ(calls, 2U * 3U * (2 + clairvoyant_names().size() + 3));
  calls = 0;
  options.jobs = 4;
  EXPECT_EQ(to_json(run_experiment(trace, options).value()), alone);
}

TEST(Experiment, MeasuresTheGapFromLruToTheBestClairvoyant) {
  for (const bool timed : {false, true}) {
    const Report report =
        run_experiment(small_trace(), {.capacities = {10, 25}, .seeds = 2, .policies = {"fifo", "lfu"}, .timed = timed})
            .value();
    ASSERT_EQ(report.tables.size(), 2U);
    for (const Table& table : report.tables) {
      const auto figure = [&](const Row& row) { return timed ? row.wait_s.mean : row.cold_wait_s.mean; };
      const Row& lru = row_of(table, "lru");
      const Row& best = row_of(table, table.best_clairvoyant);
      const Row& infinite = row_of(table, "infinite memory");
      EXPECT_EQ(lru.gap_closed, 0.0);
      EXPECT_EQ(best.gap_closed, 1.0);
      for (const std::string& name : clairvoyant_names()) {
        EXPECT_LE(figure(best), figure(row_of(table, name))) << name;
      }
      const Row& fifo = row_of(table, "fifo");
      EXPECT_NEAR(fifo.gap_closed.value(), (figure(lru) - figure(fifo)) / (figure(lru) - figure(best)), 1e-9);
      EXPECT_FALSE(infinite.gap_closed);
      for (const Row& row : table.rows) EXPECT_LE(infinite.cold_wait_s.mean, row.cold_wait_s.mean + 1e-6) << row.name;
      const auto bound = [](const Row& row) { return row.kind == Kind::kBound; };
      EXPECT_EQ(std::count_if(table.rows.begin(), table.rows.end(), bound), timed ? 0 : 2);
      if (timed) continue;
      const Row& lp = row_of(table, "LP");
      const Row& pfoo = row_of(table, "PFOO-L");
      EXPECT_LE(infinite.cold_wait_s.mean, pfoo.cold_wait_s.mean + 1e-6);
      EXPECT_LT(pfoo.cold_wait_s.mean, lp.cold_wait_s.mean);
      for (const Row& row : table.rows) {
        if (row.kind == Kind::kPolicy || row.kind == Kind::kClairvoyant) {
          EXPECT_LE(lp.cold_wait_s.mean, row.cold_wait_s.mean + 1e-6) << row.name;
        }
      }
    }
  }
}

TEST(Experiment, SumsUpOverSeeds) {
  const Trace trace = small_trace();
  std::vector<double> cold_waits;
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    const World world = make_world(trace, seed);
    const auto maker = [](const Progress&) { return make_lru_policy(); };
    const Outcome outcome = replay(trace, world, maker, {.capacity = world.capacity(20)});
    cold_waits.push_back(std::chrono::duration<double>(outcome.cold_wait).count());
  }
  const Report report = run_experiment(trace, {.capacities = {20}, .seeds = 2, .policies = {}}).value();
  EXPECT_EQ(report.seeds, 2U);
  const Row& lru = row_of(report.tables[0], "lru");
  EXPECT_NEAR(lru.cold_wait_s.mean, (cold_waits[0] + cold_waits[1]) / 2, 1e-6);
  EXPECT_NEAR(lru.cold_wait_s.deviation, std::abs(cold_waits[0] - cold_waits[1]) / std::sqrt(2.0), 1e-6);
  EXPECT_NEAR(lru.wait_s.mean, lru.cold_wait_s.mean / static_cast<double>(trace.requests.size()), 1e-6);
}

TEST(Experiment, TakesPercentilesByNearestRank) {
  // Ninety-eight hits, and two loads of 1 and 2 s: all waits but two are 0, and the second longest wait is the 99th.
  Trace trace{.models = {{.id = "a", .size = Bytes(1), .reload = std::chrono::seconds(1)},
                         {.id = "b", .size = Bytes(1), .reload = std::chrono::seconds(2)}},
              .users = {"u"},
              .requests = {}};
  for (std::uint32_t i = 0; i < 100; ++i) trace.requests.push_back({std::chrono::seconds(10 * i), i % 2, 0, {}});
  const Report report = run_experiment(trace, {.capacities = {100}, .policies = {}}).value();
  EXPECT_EQ(report.seeds, 1U);  // there is nothing to draw
  const Row& lru = row_of(report.tables[0], "lru");
  EXPECT_EQ(lru.p50_wait_s, 0);
  EXPECT_EQ(lru.p99_wait_s, 1);
  EXPECT_EQ(lru.hit_rate, 98);
  EXPECT_FALSE(lru.gap_closed);  // no gap
}

TEST(Experiment, RefusesAPolicyThatDoesNotExist) {
  const Result<Report> report = run_experiment(small_trace(), {.policies = {"lru", "magic"}});
  ASSERT_FALSE(report);
  EXPECT_EQ(report.error().code, ErrorCode::kInvalidArgument);
  EXPECT_NE(report.error().message.find("\"magic\""), std::string::npos);
  EXPECT_NE(report.error().message.find("lru"), std::string::npos);
}

TEST(Report, ShowsARowForEachPolicyAndReference) {
  const Report report = run_experiment(small_trace(), {.capacities = {8.5}, .seeds = 2, .policies = {"fifo"}}).value();
  const std::string text = to_text(report);
  EXPECT_NE(text.find("800 requests, 12 models, 2 seeds, closed loop\n"), std::string::npos) << text;
  EXPECT_NE(text.find("\ncapacity 8.5 % of all bytes, "), std::string::npos) << text;
  EXPECT_NE(text.find("\n" + report.tables[0].best_clairvoyant + " (clairvoyant, best) "), std::string::npos) << text;
  for (const char* start :
       {"policy ", "lru ", "fifo ", "LP (lower bound) ", "PFOO-L (lower bound) ", "infinite memory "}) {
    EXPECT_NE(text.find("\n" + std::string(start)), std::string::npos) << start << text;
  }

  const nlohmann::json json = nlohmann::json::parse(to_json(report));
  EXPECT_EQ(json["mode"], "closed_loop");
  EXPECT_EQ(json["requests"], 800);
  const nlohmann::json& rows = json["tables"][0]["rows"];
  ASSERT_EQ(rows.size(), report.tables[0].rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const Row& row = report.tables[0].rows[i];
    EXPECT_EQ(rows[i]["name"], row.name);
    EXPECT_EQ(rows[i]["cold_wait_s"]["mean"], row.cold_wait_s.mean);
    EXPECT_EQ(rows[i].contains("hit_rate_percent"), row.kind != Kind::kBound);
    EXPECT_EQ(rows[i].contains("gap_closed"), row.gap_closed.has_value());
  }
}

}  // namespace
}  // namespace minerva::cachesim
