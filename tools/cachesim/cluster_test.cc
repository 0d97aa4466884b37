#include "cachesim/cluster.h"

#include <gtest/gtest.h>

#include <map>

#include "cachesim/generate.h"

namespace minerva::cachesim {
namespace {

// Twelve models of one size, each asked for by its own user again and again, in turn.
Trace steady(std::size_t requests, Duration between, Duration service) {
  Trace trace;
  for (int i = 0; i < 12; ++i) {
    trace.models.push_back(
        {.id = "m" + std::to_string(i), .size = Bytes::mib(1000), .reload = std::chrono::seconds(2)});
    trace.users.push_back("u" + std::to_string(i));
  }
  for (std::size_t i = 0; i < requests; ++i) {
    const auto which = static_cast<std::uint32_t>(i % 12);
    trace.requests.push_back(
        {.arrival = between * static_cast<int>(i), .model = which, .user = which, .service = service});
  }
  return trace;
}

ClusterOptions four_nodes(std::size_t models_each) {
  return {.nodes = 4, .memory = Bytes::mib(1000 * models_each), .slots = 2};
}

std::map<std::string, ClusterRow> play_all(const Trace& trace, const ClusterOptions& options) {
  const World world = make_world(trace, options.seed);
  std::map<std::string, ClusterRow> rows;
  for (const std::string_view router : router_names()) {
    rows[std::string(router)] = play_cluster(trace, world, router, options);
  }
  return rows;
}

TEST(Cluster, ModelsThatFitTogetherAreLoadedOnce) {
  const Trace trace = steady(1200, std::chrono::seconds(5), std::chrono::seconds(1));
  const auto rows = play_all(trace, four_nodes(3));
  const double all_gb = 12 * static_cast<double>(Bytes::mib(1000).count()) / 1e9;
  EXPECT_DOUBLE_EQ(rows.at("minerva").loaded_gb, all_gb);
  EXPECT_DOUBLE_EQ(rows.at("minerva").cold_wait_s, 24);
  // A turn of four nodes meets 12 models in the same order: each node sees three of them only.
  EXPECT_DOUBLE_EQ(rows.at("round-robin").loaded_gb, all_gb);
  EXPECT_DOUBLE_EQ(rows.at("minerva").returned, 100);
  EXPECT_NEAR(rows.at("minerva").balance, 1, 0.01) << "no node has more than three models";
}

TEST(Cluster, RoundRobinLoadsEverywhere) {
  Trace trace = steady(1200, std::chrono::seconds(5), std::chrono::seconds(1));
  trace.requests.erase(trace.requests.begin());  // now the turns drift past the models
  for (std::size_t i = 0; i < trace.requests.size(); i += 7) trace.requests[i].model = 0;
  const auto rows = play_all(trace, four_nodes(3));
  EXPECT_LT(rows.at("minerva").loaded_gb, 0.5 * rows.at("round-robin").loaded_gb);
  EXPECT_LE(rows.at("minerva").loaded_gb, rows.at("multiplex").loaded_gb);
}

TEST(Cluster, ALongLineMakesASecondNodeHot) {
  Trace trace = steady(400, std::chrono::milliseconds(250), std::chrono::seconds(1));
  for (TraceRequest& request : trace.requests) request.model = 0;  // four at a time, and a node has two slots
  const auto rows = play_all(trace, four_nodes(3));
  EXPECT_GT(rows.at("model-hash").mean_wait_s, 20);
  EXPECT_LT(rows.at("minerva").mean_wait_s, 3);
}

TEST(Cluster, EveryRequestIsServedOnceWhateverTheRouter) {
  const Trace trace = generate({.models = 30, .users = 20, .requests = 2000, .request_gap_s = 2});
  const World world = make_world(trace, 1);
  for (const std::string_view router : router_names()) {
    const ClusterRow row = play_cluster(trace, world, router, {.nodes = 5, .memory = world.capacity(10)});
    EXPECT_GE(row.balance, 1) << router;
    EXPECT_GT(row.loaded_gb, 0) << router;
    const ClusterRow again = play_cluster(trace, world, router, {.nodes = 5, .memory = world.capacity(10)});
    EXPECT_EQ(again.loaded_gb, row.loaded_gb) << router;
    EXPECT_EQ(again.p99_wait_s, row.p99_wait_s) << router;
  }
}

TEST(Cluster, OneNodeIsTheSameForAllRouters) {
  const Trace trace = generate({.models = 10, .users = 5, .requests = 500, .request_gap_s = 20});
  const World world = make_world(trace, 1);
  const ClusterOptions options = {.nodes = 1, .memory = world.capacity(30)};
  const ClusterRow first = play_cluster(trace, world, "round-robin", options);
  for (const std::string_view router : router_names()) {
    const ClusterRow row = play_cluster(trace, world, router, options);
    EXPECT_EQ(row.loaded_gb, first.loaded_gb) << router;
    EXPECT_EQ(row.mean_wait_s, first.mean_wait_s) << router;
    EXPECT_EQ(row.returned, 100) << router;
  }
}

}  // namespace
}  // namespace minerva::cachesim
